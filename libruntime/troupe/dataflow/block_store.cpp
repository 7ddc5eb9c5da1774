#include "troupe/dataflow/block_store.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "troupe/dataflow/block_store_impl.hpp"
#include "troupe/dataflow/block_store_section.hpp"

namespace troupe::dataflow {

// Reading

result<std::vector<block_ref>> block_store_impl::get(const attempt_key& attempt, partition_index partition) const {
  section in(*this);
  auto found = attempts_.find(attempt);
  if (found == attempts_.end() || !found->second.finished)
    return error{errc::not_found, "no output of " + to_string(attempt) + " here"};
  std::vector<block_ref> refs;
  if (auto blocks = found->second.blocks.find(partition); blocks != found->second.blocks.end())
    for (auto id : blocks->second) refs.push_back(blocks_.at(id).ref);
  return refs;
}

bool block_store_impl::holds(const attempt_key& attempt) const {
  section in(*this);
  auto found = attempts_.find(attempt);
  return found != attempts_.end() && found->second.finished;
}

block_pin block_store_impl::pin_slab(slab_state& state, const block_ref& ref, std::uint64_t offset) {
  struct holder {
    std::shared_ptr<block_store_impl> store;
    slab_id slab;
    holder(std::shared_ptr<block_store_impl> of, slab_id id) : store(std::move(of)), slab(id) {}
    holder(const holder&) = delete;
    ~holder() { store->unpin(slab); }
  };
  const auto& memory = *state.memory;
  block_pin pin;
  pin.ref_ = ref;
  pin.memory_ = bytes_view(memory.data() + offset, static_cast<std::size_t>(ref.size));
  pin.location_ = {memory.read_fd(), memory.id(), memory.size(), offset, state.dedicated};
  ++state.pins;
  state.used_at = ++clock_;
  pin.hold_ = std::make_shared<const holder>(shared_from_this(), memory.id());
  return pin;
}

result<block_pin> block_store_impl::pin(block_id block) {
  section in(*this);
  auto found = blocks_.find(block);
  if (found == blocks_.end()) return error{errc::not_found, "block " + to_string(block) + " was released"};
  const auto& state = found->second;
  if (!state.file) return pin_slab(slabs_.at(state.slab), state.ref, state.offset);
  block_pin pin;
  pin.ref_ = state.ref;
  pin.location_ = {state.file->fd(), slab_id{}, state.file->size(), state.offset, true};
  pin.hold_ = state.file;
  pin.file_ = state.file.get();
  return pin;
}

void block_store_impl::unpin(slab_id id) {
  section in(*this);
  auto& state = slabs_.at(id);
  --state.pins;
  recycle_if_empty(in, id);
  if (wants_spill()) disk_wakes_.notify_all();
}

result<std::size_t> block_pin::read(std::uint64_t offset, char* out, std::size_t size) const {
  if (offset >= ref_.size) return std::size_t{0};
  const auto n = std::min<std::uint64_t>(size, ref_.size - offset);
  if (file_ != nullptr) return file_->read(location_.offset + offset, out, static_cast<std::size_t>(n));
  std::memcpy(out, memory_.data() + offset, static_cast<std::size_t>(n));
  return static_cast<std::size_t>(n);
}

result<block_ref> receive_buffer::commit(job_id job, std::uint64_t records, const digest128& digest) && {
  auto committed = store_->commit_received(chunk_id{chunk_}, job, records, digest);
  hold_.reset();
  return committed;
}

block_store_usage block_store_impl::usage() const {
  section in(*this);
  block_store_usage u;
  u.budget_bytes = tokens_max_ * options_.slab_bytes;
  u.producing_bytes = producing_ * options_.slab_bytes;
  u.receiving_bytes = receiving_ * options_.slab_bytes;
  u.warm_bytes = warm_.size() * options_.slab_bytes;
  u.spilled_bytes = spilled_bytes_;
  u.blocks = blocks_.size();
  u.waiting = waiting_producers_.size() + waiting_receivers_.size();
  return u;
}

// The disk thread: spills, warms, unlinks

bool block_store_impl::wants_spill() const {
  // One slab ahead of need, so that who asks next rarely waits for the disk.
  return !waiting_producers_.empty() || !waiting_receivers_.empty() || !may_take(use::producing, 1) ||
         !may_take(use::receiving, 1);
}

slab_id block_store_impl::coldest() const {
  const bool producers_first = !waiting_producers_.empty() || !may_take(use::producing, 1);
  slab_id best;
  std::pair<bool, std::uint64_t> best_rank{true, ~0ULL};
  for (const auto& [id, state] : slabs_) {
    if (state.current || state.spilling || state.spill_failed || state.open_chunks != 0 || state.pins != 0 ||
        state.blocks.empty())
      continue;
    // A slab of the kind that is short helps at once; one of the other kind only where that is above its reserve.
    const bool helps_less = (state.purpose == use::producing) != producers_first;
    if (helps_less && (state.purpose == use::producing ? producing_ : receiving_) <= reserve_) continue;
    if (std::pair rank{helps_less, state.used_at}; rank < best_rank) {
      best_rank = rank;
      best = id;
    }
  }
  return best;
}

void block_store_impl::spill_one(std::unique_lock<std::mutex>& lock, slab_id id) {
  auto& state = slabs_.at(id);
  state.spilling = true;
  ++state.pins;  // it stays where it is, whatever is released meanwhile
  std::vector<bytes_view> pieces;
  std::vector<block_id> ids;
  for (auto block : state.blocks) {
    const auto& b = blocks_.at(block);
    pieces.emplace_back(state.memory->data() + b.offset, static_cast<std::size_t>(b.ref.size));
    ids.push_back(block);
  }
  const auto path = options_.spill_directory / (std::to_string(++last_id_) + ".spill");
  lock.unlock();
  auto written = spill_file::write(path, pieces);
  std::shared_ptr<spill_file> file;
  if (written)
    // Closing and unlinking may take long, and the last reader may stand on any thread: the disk thread does it.
    file = std::shared_ptr<spill_file>(written->release(), [store = weak_from_this()](spill_file* f) {
      std::unique_ptr<spill_file> owned(f);
      if (auto s = store.lock()) s->bury(std::move(owned));
    });
  {
    section in(*this);
    auto& after = slabs_.at(id);
    after.spilling = false;
    --after.pins;
    if (!file) {
      after.spill_failed = true;
      spill_error_ = written.error();
      if (coldest() == slab_id{})
        for (auto* waiting : {&waiting_producers_, &waiting_receivers_}) {
          for (auto& w : *waiting) in.after([callback = std::move(w.callback), why = spill_error_] { callback(why); });
          waiting->clear();
        }
    } else {
      spill_error_ = error{};
      std::uint64_t offset = 0;
      for (std::size_t i = 0; i < ids.size(); ++i) {
        if (auto block = blocks_.find(ids[i]); block != blocks_.end()) {
          block->second.file = file;
          block->second.slab = slab_id{};
          block->second.offset = offset;
          spilled_bytes_ += block->second.ref.size;
          after.blocks.erase(ids[i]);
        }
        offset += pieces[i].size();
      }
      for (auto& [other, s] : slabs_) s.spill_failed = false;  // the disk works again
    }
    recycle_if_empty(in, id);
    in.after([file = std::move(file)] {});
  }
  lock.lock();
}

void block_store_impl::bury(std::unique_ptr<spill_file> file) {
  // May be called with the mutex held (a block's last reference) or without: the graveyard has its own.
  std::lock_guard guard(graveyard_mutex_);
  graveyard_.push_back(std::move(file));
}

void block_store_impl::disk_loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    std::vector<std::unique_ptr<spill_file>> dead;
    {
      std::lock_guard guard(graveyard_mutex_);
      dead.swap(graveyard_);
    }
    if (!dead.empty()) {
      lock.unlock();
      dead.clear();
      lock.lock();
      continue;
    }
    if (const auto cold = wants_spill() ? coldest() : slab_id{}; cold != slab_id{}) {
      disk_busy_ = true;
      spill_one(lock, cold);
      continue;
    }
    if (to_warm_ > 0) {
      --to_warm_;
      if (auto made = slab::make(slab_id{++last_id_}, options_.slab_bytes)) {
        lock.unlock();
        (*made)->warm();
        lock.lock();
        if (producing_ + receiving_ + warm_.size() < tokens_max_) warm_.push_back(std::move(*made));
      }
      continue;
    }
    disk_busy_ = false;
    disk_sleeps_.notify_all();
    // The time limit is for the graveyard, whose visitors cannot always wake us.
    disk_wakes_.wait_for(lock, std::chrono::milliseconds(200));
    disk_busy_ = true;
  }
  disk_busy_ = false;
  disk_sleeps_.notify_all();
}

void block_store_impl::settle() {
  std::unique_lock lock(mutex_);
  disk_sleeps_.wait(lock,
                    [this] { return !disk_busy_ && (!wants_spill() || coldest() == slab_id{}) && to_warm_ == 0; });
}

void block_store_impl::start() {
  disk_busy_ = true;
  disk_ = std::thread([this] { disk_loop(); });
}

void block_store_impl::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  disk_wakes_.notify_all();
  if (disk_.joinable()) disk_.join();
  section in(*this);
  for (auto* waiting : {&waiting_producers_, &waiting_receivers_}) {
    for (auto& w : *waiting)
      in.after([callback = std::move(w.callback)] { callback(error{errc::cancelled, "the node is going down"}); });
    waiting->clear();
  }
}

// The public face

result<std::unique_ptr<block_store>> block_store::open(block_store_options options) {
  if (!std::has_single_bit(options.slab_bytes) || options.slab_bytes < (2ULL << 20))
    return error{errc::invalid_argument,
                 "slab_bytes must be a power of two of at least 2 MiB, not " + std::to_string(options.slab_bytes)};
  TROUPE_TRY_VOID(purge_spill_directory(options.spill_directory));
  auto impl = std::make_shared<block_store_impl>(std::move(options));
  impl->start();
  return std::unique_ptr<block_store>(new block_store(std::move(impl)));
}

block_store::block_store(std::shared_ptr<block_store_impl> impl) : impl_(std::move(impl)) {}
block_store::~block_store() { impl_->stop(); }
result<std::vector<block_ref>> block_store::get(const attempt_key& attempt, partition_index partition) const {
  return impl_->get(attempt, partition);
}
bool block_store::holds(const attempt_key& attempt) const { return impl_->holds(attempt); }
result<block_pin> block_store::pin(block_id block) const { return impl_->pin(block); }
void block_store::receive(std::uint64_t size, std::function<void(result<receive_buffer>)> callback) {
  impl_->receive(size, std::move(callback));
}
void block_store::release(job_id job) { impl_->release(job); }
void block_store::release_attempt(const attempt_key& attempt) { impl_->release_attempt(attempt); }
void block_store::discard(const std::vector<block_ref>& blocks) { impl_->discard(blocks); }
block_store_usage block_store::usage() const { return impl_->usage(); }
void block_store::settle() { impl_->settle(); }

}  // namespace troupe::dataflow
