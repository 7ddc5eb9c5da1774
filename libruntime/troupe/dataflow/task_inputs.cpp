#include "troupe/dataflow/task_inputs.hpp"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "troupe/dataflow/sigbus_guard.hpp"

namespace troupe::dataflow {

result<mapping> mapping::of(int fd, std::uint64_t size, bool writable) {
  mapping made;
  if (size == 0) return made;
  void* data = ::mmap(nullptr, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return error::from_errno("mmap", "a descriptor from the daemon", errno);
  made.data_ = static_cast<char*>(data);
  made.size_ = size;
  return made;
}

mapping::mapping(mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

mapping& mapping::operator=(mapping&& other) noexcept {
  if (this != &other) {
    if (data_ != nullptr) ::munmap(data_, size_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

mapping::~mapping() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

task_inputs::task_inputs(std::map<std::uint64_t, mapping>& slabs, worker_control& control, ask_function ask)
    : slabs_(slabs), control_(control), ask_(std::move(ask)) {}

task_inputs::~task_inputs() { guard_mapping(nullptr, 0); }

task_inputs::outcome task_inputs::lost(std::uint32_t item, std::string message, std::optional<block_id> block) {
  failure_ =
      attempt_failure{failure_kind::input_lost, std::move(message), std::nullopt, shared(control_.input), item, block};
  return outcome::failed;
}

task_inputs::outcome task_inputs::next(troupe_block& out) {
  for (;;) {
    if (cursor_) {
      const auto got = next_of_segment(out);
      if (got != outcome::end) return got;
      cursor_.reset();
      guard_mapping(nullptr, 0);
    }
    if (page_.empty()) {
      if (at_end_) return outcome::end;
      auto answer = ask_();
      if (!answer) {
        failure_ = attempt_failure{failure_kind::engine, answer.error().message(), {}, 0, {}, {}};
        return outcome::failed;
      }
      if (!*answer) return outcome::stop;
      auto decoded = codec::decode<daemon_answer>((*answer)->data, "answer of the daemon");
      auto* given = decoded ? std::get_if<inputs_given>(&*decoded) : nullptr;
      if (given == nullptr) {
        failure_ = attempt_failure{failure_kind::engine, "the daemon's answer makes no sense", {}, 0, {}, {}};
        return outcome::failed;
      }
      std::size_t fd = 0;
      for (auto& item : given->items) {
        const auto* block = std::get_if<block_item>(&item);
        const bool with_fd = block == nullptr || block->with_fd;
        pending_item pending{std::move(item), descriptor{}};
        if (with_fd && fd < (*answer)->fds.size()) pending.file = std::move((*answer)->fds[fd++]);
        page_.push_back(std::move(pending));
      }
      if (page_.empty()) at_end_ = true;
      continue;
    }
    auto pending = std::move(page_.front());
    page_.pop_front();
    if (const auto* segment = std::get_if<segment_item>(&pending.item)) {
      if (const auto opened = open_segment(*segment, std::move(pending.file)); opened != outcome::block) return opened;
      continue;
    }
    return give_block(std::get<block_item>(pending.item), std::move(pending.file), out);
  }
}

task_inputs::outcome task_inputs::open_segment(const segment_item& item, descriptor file) {
  share(control_.item, item.item);
  share(control_.input, item.input);
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0)
    return lost(item.item, "segment file " + item.name + " cannot be opened");
  auto mapped = mapping::of(file.get(), static_cast<std::uint64_t>(status.st_size), false);
  if (!mapped) return lost(item.item, "segment file " + item.name + ": " + mapped.error().message());
  current_ = std::move(*mapped);
  guard_mapping(current_.data(), current_.size());
  ::madvise(current_.data(), current_.size(), MADV_SEQUENTIAL);
  auto view = format::segment_view::of(bytes_view(current_.data(), current_.size()));
  if (!view) return lost(item.item, "segment file " + item.name + ": " + view.error().message());
  if (view->header.segment != segment_id{item.segment})
    return lost(item.item, "segment file " + item.name + " holds segment " + to_string(view->header.segment) +
                               " instead of " + std::to_string(item.segment));
  auto cursor = view->cursor(item.from, item.to);
  if (!cursor) return lost(item.item, "segment file " + item.name + ": " + cursor.error().message());
  segment_ = item;
  cursor_.emplace(*cursor);
  return outcome::block;
}

task_inputs::outcome task_inputs::next_of_segment(troupe_block& out) {
  format::batch_view batch;
  auto more = cursor_->next(batch);
  if (!more) return lost(segment_.item, "segment file " + segment_.name + ": " + more.error().message());
  if (!*more) return outcome::end;
  out.data = batch.payload.data();
  out.size = batch.payload.size();
  out.records = batch.header.count;
  out.first_offset = segment_.segment_first_offset + batch.header.first_offset.value;
  out.input = segment_.input;
  out.format = segment_.format;
  out.edge = segment_.edge;
  return outcome::block;
}

task_inputs::outcome task_inputs::give_block(const block_item& item, descriptor file, troupe_block& out) {
  share(control_.item, item.item);
  share(control_.input, item.input);
  const char* base = nullptr;
  std::uint64_t size = 0;
  if (item.slab != 0 && !item.transient) {
    auto known = slabs_.find(item.slab);
    if (known == slabs_.end() && file) {
      auto mapped = mapping::of(file.get(), item.file_size, false);
      if (!mapped) return lost(item.item, mapped.error().message(), item.ref.id);
      known = slabs_.emplace(item.slab, std::move(*mapped)).first;
    }
    if (known == slabs_.end()) {
      // This worker's fault, or its daemon's: the block itself is where it was.
      failure_ = attempt_failure{failure_kind::engine,
                                 "the slab of block " + to_string(item.ref.id) + " did not come along",
                                 std::nullopt,
                                 shared(control_.input),
                                 {},
                                 {}};
      return outcome::failed;
    }
    base = known->second.data();
    size = known->second.size();
  } else {
    guard_mapping(nullptr, 0);
    auto mapped = mapping::of(file.get(), item.file_size, false);
    if (!mapped) return lost(item.item, mapped.error().message(), item.ref.id);
    current_ = std::move(*mapped);
    guard_mapping(current_.data(), current_.size());
    base = current_.data();
    size = current_.size();
  }
  if (item.offset > size || item.ref.size > size - item.offset)
    return lost(item.item, "block " + to_string(item.ref.id) + " reaches beyond its slab", item.ref.id);
  const bytes_view data(base + item.offset, static_cast<std::size_t>(item.ref.size));
  if (xxh3_128(data) != item.ref.digest)
    return lost(item.item,
                "block " + to_string(item.ref.id) + " is damaged: its digest does not fit its " +
                    std::to_string(item.ref.size) + " bytes",
                item.ref.id);
  out.data = data.data();
  out.size = data.size();
  out.records = item.ref.records;
  out.first_offset = item.first_offset;
  out.input = item.input;
  out.format = item.format;
  out.edge = item.edge;
  return outcome::block;
}

}  // namespace troupe::dataflow
