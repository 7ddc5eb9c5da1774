#include <fcntl.h>

#include <actors/data/block_client.hpp>
#include <actors/data/segment_reading.hpp>
#include <algorithm>

namespace troupe::data {

namespace asio = boost::asio;
using block_protocol::block_head;

bool means_damage(errc code) noexcept {
  return code == errc::corrupted || code == errc::not_found || code == errc::failed_precondition ||
         code == errc::io_error || code == errc::unsupported;
}

result<std::shared_ptr<const storage::segment_reader>> open_copy(const storage::segment_store& store, segment_id id,
                                                                 const digest128& digest) {
  auto opened = store.open(id);
  if (!opened) return opened.error();
  if (opened->summary().digest != digest)
    return error{errc::corrupted, opened->path() + " has the digest " + opened->summary().digest.to_string() +
                                      " instead of " + digest.to_string()};
  return std::shared_ptr<const storage::segment_reader>(std::make_shared<storage::segment_reader>(std::move(*opened)));
}

result<batch_group> read_group(const storage::segment_reader& reader, std::uint64_t from, std::uint64_t to,
                               std::size_t bytes_max) {
  batch_group group;
  group.next = to;
  const auto each = [&](const format::batch_view& batch) -> result<bool> {
    if (group.records == 0) {
      group.first = batch.header.first_offset;
      group.payload.reserve(std::max(bytes_max, batch.payload.size()));
    } else if (group.payload.size() + batch.payload.size() > bytes_max) {
      group.next = batch.position;
      return false;
    }
    group.payload.append(batch.payload);
    group.records += batch.header.count;
    group.next = batch.end();
    return true;
  };
  TROUPE_TRY_VOID(reader.read_batches(from, to, each));
  return group;
}

result<batch_group> read_open_group(const std::string& path, segment_id id, std::uint64_t from, std::uint64_t to,
                                    std::size_t bytes_max) {
  batch_group group;
  group.next = to;
  TROUPE_TRY(const auto file, storage::file::open(storage::file_operations::system(), path, O_RDONLY));
  char raw[format::batch_header_bytes];
  bytes payload;
  for (std::uint64_t at = 0; at < to;) {
    TROUPE_TRY_VOID(file.read(raw, sizeof raw, format::segment_header_bytes + at));
    auto header = format::decode_batch_header({raw, sizeof raw}, id);
    if (!header) return header.error().with_context(path + ", position " + std::to_string(at));
    const auto begin = at;
    at += sizeof raw + header->payload_bytes;
    if (begin < from || header->count == 0) continue;
    if (group.records == 0) {
      group.first = header->first_offset;
    } else if (group.payload.size() + header->payload_bytes > bytes_max) {
      group.next = begin;
      return group;
    }
    payload.resize(header->payload_bytes);
    TROUPE_TRY_VOID(file.read(payload.data(), payload.size(), format::segment_header_bytes + begin + sizeof raw));
    if (!format::batch_crc_fits(raw, payload))
      return error{errc::corrupted,
                   path + ": the batch at position " + std::to_string(begin) + " has a wrong checksum"};
    group.payload.append(payload);
    group.records += header->count;
    group.next = at;
  }
  return group;
}

std::optional<member_id> copy_reader::choose() const {
  const auto has_failed = [&](member_id id) {
    return std::any_of(failed_.begin(), failed_.end(), [&](const auto& f) { return f.holder == id; });
  };
  const auto own = context_->self();
  std::optional<member_id> alive;
  std::optional<member_id> other;
  const auto count = segment_.holders.size();
  context_->parts.metadata.read([&](const metadata::state& s) {
    // Begin elsewhere for every segment: not everyone reads from the first holder.
    for (std::size_t i = 0; i < count; ++i) {
      const auto id = segment_.holders[(i + segment_.id.value) % count];
      if (has_failed(id)) continue;
      const auto* m = s.find_member(id);
      auto& slot = id == own || (m != nullptr && m->state == metadata::member_state::alive) ? alive : other;
      if (!slot || id == own) slot = id;
    }
    return 0;
  });
  return alive ? alive : other;
}

void copy_reader::pass_over(member_id holder, error why, bool damaged) {
  if (damaged) context_->report_damage(dataset_, segment_.id, holder, segment_.made(holder), why.message());
  failed_.push_back({holder, std::move(why), damaged});
  if (context_->is_self(holder)) open_here_.reset();
}

error copy_reader::no_copy_left(record_offset reached) const {
  const bool lost = std::all_of(failed_.begin(), failed_.end(), [](const auto& f) { return f.damaged; });
  std::string text = "segment " + to_string(segment_.id) + " of " + context_->describe(dataset_) +
                     " can't be read from record " + to_string(reached) + " of its " +
                     std::to_string(segment_.records) + " on: ";
  for (const auto& f : failed_) text += context_->name_of(f.holder) + ": " + f.why.message() + "; ";
  if (failed_.empty()) text += "it has no holder; ";
  text +=
      lost ? "no other copy is left, so import or compute it again" : "start the members that are away and try again";
  return error{lost ? errc::data_loss : errc::unavailable, std::move(text)};
}

asio::awaitable<result<void>> copy_reader::read_here(std::uint64_t& position, std::uint64_t to, std::uint64_t bytes_max,
                                                     std::size_t block_bytes, block_sink& sink, bool& sink_failed) {
  auto& store = context_->parts.segments;
  std::uint64_t taken = 0;
  while (position < to && (bytes_max == 0 || taken < bytes_max)) {
    auto reader = open_here_;
    const auto id = segment_.id;
    const auto digest = segment_.digest;
    const auto from = position;
    auto read_pending = context_->disk.run([&store, reader, id, digest, from, to,
                                            block_bytes]() mutable -> result<std::pair<batch_group, decltype(reader)>> {
      if (is_open(digest)) {
        TROUPE_TRY(auto group, read_open_group(store.path(id), id, from, to, block_bytes));
        return std::pair{std::move(group), reader};
      }
      if (!reader) {
        TROUPE_TRY(reader, open_copy(store, id, digest));
      }
      TROUPE_TRY(auto group, read_group(*reader, from, to, block_bytes));
      return std::pair{std::move(group), reader};
    });
    auto read = co_await std::move(read_pending);
    if (!read) co_return read.error();
    open_here_ = read->second;
    auto& group = read->first;
    if (group.records != 0) {
      block_head head;
      head.size = group.payload.size();
      head.records = group.records;
      head.first = group.first;
      head.next = group.next;
      head.digest = xxh3_128(group.payload);
      sink_failed = true;
      auto room = co_await sink.open(head);
      if (!room) co_return room.error();
      std::memcpy(room->data(), group.payload.data(), group.payload.size());
      auto kept = sink.close(head);
      if (!kept) co_return kept.error();
      sink_failed = false;
    }
    taken += group.payload.size();
    position = group.next;
  }
  co_return ok();
}

namespace {
/// Passes blocks on and notes how far they reach.
class following_sink final : public block_sink {
 public:
  following_sink(block_sink& next, std::uint64_t& position, record_offset& reached)
      : next_(next), position_(position), reached_(reached) {}
  asio::awaitable<result<std::span<char>>> open(const block_head& head) override {
    auto room = co_await next_.open(head);
    failed = !room;
    co_return std::move(room);
  }
  result<void> close(const block_head& head) override {
    if (head.next <= position_) return error{errc::corrupted, "a block that leads nowhere"};
    auto kept = next_.close(head);
    if (!kept) {
      failed = kept.error().code() != errc::corrupted;
      return kept;
    }
    position_ = head.next;
    reached_ = record_offset{head.first.value + head.records};
    return kept;
  }
  bool failed = false;  ///< our side's fault, not the peer's

 private:
  block_sink& next_;
  std::uint64_t& position_;
  record_offset& reached_;
};
}  // namespace

asio::awaitable<result<void>> copy_reader::read(std::uint64_t& position, std::uint64_t to, std::uint64_t bytes_max,
                                                std::size_t block_bytes, block_sink& sink) {
  record_offset reached;
  to = std::min(to, segment_.file_bytes);
  const auto begin = position;
  while (position < to) {
    if (bytes_max != 0 && position > begin) co_return ok();  // a copy gave something before it failed: enough for once
    const auto holder = choose();
    if (!holder) co_return no_copy_left(reached);
    following_sink following(sink, position, reached);
    if (context_->is_self(*holder)) {
      bool sink_failed = false;
      auto read = co_await read_here(position, to, bytes_max, block_bytes, following, sink_failed);
      if (read) co_return ok();
      if (sink_failed || !means_damage(read.error().code())) co_return read.error();
      pass_over(*holder, read.error(), true);
      continue;
    }
    block_protocol::get_range request;
    request.segment = segment_.id;
    request.digest = segment_.digest;
    request.from = position;
    request.to = to;
    request.bytes_max = bytes_max;
    request.block_bytes = static_cast<std::uint32_t>(block_bytes);
    auto answer = co_await ask(context_, *holder, block_protocol::frame_type::get_range, codec::encode(request),
                               following, context_->request_deadline());
    if (answer.outcome) {
      // Ranges without a batch's beginning are legal: the batch before reaches over them.
      if (bytes_max == 0 || position == begin) position = std::max(position, to);
      co_return ok();
    }
    if (following.failed) co_return answer.outcome.error();
    pass_over(*holder, answer.outcome.error(), answer.from_peer && means_damage(answer.outcome.error().code()));
  }
  co_return ok();
}

}  // namespace troupe::data
