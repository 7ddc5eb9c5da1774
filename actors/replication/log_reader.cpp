#include <actors/data/data_plane.hpp>
#include <actors/replication/log_reader.hpp>
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <troupe/base/limits.hpp>
#include <troupe/format/record.hpp>
#include <troupe/storage/segment_store.hpp>

namespace troupe::logs {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using std::chrono::milliseconds;
using transport::after;
using transport::steady_time;

namespace {
constexpr std::size_t questions_max = 20'000;
constexpr auto answer_time_max = 2s;     ///< of a replica, beyond what it was asked to wait
constexpr auto question_wait_max = 20s;  ///< then it is asked again
constexpr auto sealed_time_max = 20s;    ///< for one piece of a sealed segment, from one holder
constexpr auto unsettled_pause = 10ms;   ///< a leader is changing: look again
constexpr auto unsettled_time_max = 5s;  ///< for that, when nobody asked to wait
constexpr std::size_t piece_bytes_max = 1 << 20;

/// Appends the records of whole batches that are wanted. True when one was added.
result<bool> take_records(const shared_bytes& batches, segment_id segment, std::uint64_t base,
                          const read_request& wanted, read_outcome& out) {
  const auto keep = std::make_shared<shared_bytes>(batches);
  format::batch_cursor cursor(keep->view(), segment);
  format::batch_view batch;
  std::size_t taken = 0;
  for (;;) {
    TROUPE_TRY(const bool more, cursor.next(batch));
    if (!more) break;
    auto offset = base + batch.header.first_offset.value;
    if (offset + batch.header.count <= wanted.from.value) continue;
    format::record_reader records(out.format, batch.payload);
    bytes_view record;
    for (;; ++offset) {
      TROUPE_TRY(const bool another, records.next(record));
      if (!another) break;
      if (offset < wanted.from.value) continue;
      if (out.records.size() >= wanted.records_max || (taken != 0 && taken + record.size() > wanted.bytes_max)) {
        out.buffers.push_back(keep);
        return true;
      }
      taken += record.size();
      out.records.push_back({record_offset{offset}, batch.header.append_time_unix_ms, record});
      out.next = record_offset{offset + 1};
    }
  }
  out.buffers.push_back(keep);
  return !out.records.empty();
}

/// From the batch that holds record `from` on. For disk threads.
result<bytes> read_file(const storage::segment_store& store, const batches_call& call) {
  TROUPE_TRY(const auto reader, store.open(call.segment));
  if (reader.summary().digest != call.digest)
    return error{errc::corrupted, reader.path() + " is another copy than the one that is meant"};
  TROUPE_TRY(auto position, reader.position_of(call.from));
  bytes out;
  char head[format::batch_header_bytes];
  while (position < reader.summary().file_bytes) {
    TROUPE_TRY_VOID(reader.read_raw(position, head, sizeof head));
    TROUPE_TRY(const auto header, format::decode_batch_header({head, sizeof head}, call.segment));
    const std::size_t size = sizeof head + header.payload_bytes;
    if (!out.empty() && out.size() + size > call.bytes_max) break;
    const auto had = out.size();
    out.resize(had + size);
    TROUPE_TRY_VOID(reader.read_raw(position, out.data() + had, size));
    if (!format::batch_crc_fits(out.data() + had, bytes_view(out).substr(had + sizeof head)))
      return error{errc::corrupted,
                   reader.path() + ": the batch at " + std::to_string(position) + " has a wrong checksum"};
    position += size;
  }
  return out;
}

bool means_damage(errc code) {
  return code == errc::corrupted || code == errc::not_found || code == errc::failed_precondition ||
         code == errc::io_error || code == errc::unsupported;
}
}  // namespace

/// Where an offset lies, as metadata knows it.
struct log_reader::place {
  partition_key where;
  data_format format = data_format::lines;
  troupe::schema schema;
  std::uint64_t base = 0;  ///< records of the partition before the segment
  std::uint64_t end = 0;   ///< of all sealed records of the partition
  std::optional<metadata::segment> sealed;
  std::optional<metadata::open_segment> open;
  std::vector<replica_ref> replicas;  ///< of the open segment, that are there; best first
  bool led = false;                   ///< somebody leads, or is about to
};

result<log_reader::place> log_reader::find(const read_request& what) const {
  const auto own = context_->self.member;
  return context_->parts.metadata.read([&](const metadata::state& s) -> result<place> {
    const auto* d = s.find_dataset(what.dataset);
    if (d == nullptr)
      return error{errc::not_found, "there is no dataset " + what.dataset + "; «datasets» lists what there is"};
    if (what.partition.value >= d->partitions.size())
      return error{errc::not_found, "dataset " + what.dataset + " has no partition " + to_string(what.partition) +
                                        ": it has " + std::to_string(d->partitions.size())};
    place out;
    out.where = {d->id, what.partition};
    out.format = d->format;
    out.schema = d->schema;
    const auto& p = d->partitions[what.partition.value];
    out.led = p.log.leader.has_value();
    auto at = p.log.trimmed_records;
    if (what.from.value < at)
      return error{errc::failed_precondition, "partition " + to_string(what.partition) + " of dataset " + what.dataset +
                                                  " begins at " + std::to_string(at) +
                                                  ": retention has given up what came before"};
    for (const auto& g : p.segments) {
      if (!out.sealed && what.from.value < at + g.records) {
        out.sealed = g;
        out.base = at;
      }
      at += g.records;
    }
    out.end = at;
    if (out.sealed) return out;
    out.base = at;
    out.open = p.log.open;
    if (!p.log.open) return out;
    for (const auto& r : p.log.open->replicas)
      if (s.is_current(r)) out.replicas.push_back(r);
    // Here first, then the leader, which knows the mark first.
    std::stable_partition(out.replicas.begin(), out.replicas.end(),
                          [&](const replica_ref& r) { return p.log.leader && r == *p.log.leader; });
    std::stable_partition(out.replicas.begin(), out.replicas.end(),
                          [&](const replica_ref& r) { return r.member == own; });
    return out;
  });
}

void log_reader::read(read_request what, log_plane::reply<read_outcome> then) {
  asio::post(context_->io, [self = shared_from_this(), what = std::move(what), then = std::move(then)]() mutable {
    if (self->context_->stopping) return then(error{errc::cancelled, "this node is stopping"});
    auto done = [self, then = std::move(then)](const std::exception_ptr& thrown, result<read_outcome> r) {
      if (thrown) std::rethrow_exception(thrown);
      if (r) self->context_->count.records_read.add(r->records.size());
      then(std::move(r));
    };
    asio::co_spawn(self->context_->io, self->run(std::move(what)), std::move(done));
  });
}

asio::awaitable<result<read_outcome>> log_reader::run(read_request what) {
  const auto self = shared_from_this();
  what.wait = std::min<milliseconds>(what.wait, limits::long_poll_time_max);
  what.records_max = std::max(1U, what.records_max);
  const auto begun = std::chrono::steady_clock::now();
  const auto until = begun + what.wait;
  const auto give_up = std::max<steady_time>(until, begun + unsettled_time_max);
  std::size_t turn = 0;
  for (;;) {
    const auto now = std::chrono::steady_clock::now();
    if (context_->stopping) co_return error{errc::cancelled, "this node is stopping"};
    const auto seen = changed_.generation();
    auto found = find(what);
    if (!found) co_return found.error();
    read_outcome out;
    out.dataset = found->where.dataset;
    out.format = found->format;
    out.schema = std::move(found->schema);
    out.next = what.from;
    if (found->sealed) {
      const record_offset from{what.from.value - found->base};
      auto batches = co_await read_sealed(*found, from, what.bytes_max, now + sealed_time_max);
      if (!batches) {
        // Files of a dataset that was deleted meanwhile are gone at once.
        if (const auto still = find(what); !still) co_return still.error();
        co_return batches.error();
      }
      auto taken = take_records(*batches, found->sealed->id, found->base, what, out);
      if (!taken) co_return taken.error();
      // What an import or a job wrote has the time of its batch, which is nobody's append.
      if (found->sealed->epoch.value == 0)
        for (auto& r : out.records) r.appended_at_unix_ms = 0;
      co_return std::move(out);
    }
    if (!found->open) {
      if (what.from.value > found->end && !found->led)
        co_return error{errc::invalid_argument, "partition " + to_string(what.partition) + " of dataset " +
                                                    what.dataset + " ends at " + std::to_string(found->end)};
      if (now >= until) co_return std::move(out);
      co_await changed_.wait(seen, until);
      continue;
    }
    if (found->replicas.empty()) {
      if (now >= give_up)
        co_return error{errc::unavailable, "no member that has the end of partition " + to_string(what.partition) +
                                               " of dataset " + what.dataset + " is there"};
      co_await changed_.wait(seen, std::min<steady_time>(give_up, after(200ms)));
      continue;
    }
    const auto whom = found->replicas[turn % found->replicas.size()];
    const auto wait = std::clamp<milliseconds>(std::chrono::ceil<milliseconds>(until - now), 0ms, question_wait_max);
    auto said = co_await ask_replica(*found, whom, record_offset{what.from.value - found->base},
                                     std::min(what.bytes_max, piece_bytes_max), wait);
    if (said && !said->batches.empty()) {
      auto taken = take_records(said->batches, found->open->id, found->base, what, out);
      if (!taken) co_return taken.error();
      if (*taken) co_return std::move(out);
    }
    const bool nothing_yet = said && said->why == replication::refusal::none;
    const auto later = std::chrono::steady_clock::now();
    if (nothing_yet && later >= until) co_return std::move(out);
    if (nothing_yet) continue;
    // It was sealed, is being opened, or its replica can't be asked: metadata or another one will tell.
    if (later >= give_up) {
      if (!said) co_return said.error();
      co_return error{errc::unavailable, "the end of partition " + to_string(what.partition) + " of dataset " +
                                             what.dataset + " can't be read now: its leader is changing"};
    }
    ++turn;
    co_await changed_.wait(seen, std::min<steady_time>(give_up, after(unsettled_pause)));
  }
}

asio::awaitable<result<shared_bytes>> log_reader::read_sealed(const place& at, record_offset from,
                                                              std::size_t bytes_max, steady_time deadline) {
  const auto& g = *at.sealed;
  batches_call call{g.id, g.digest, from, static_cast<std::uint32_t>(std::clamp<std::size_t>(bytes_max, 1, 16 << 20))};
  auto holders = g.holders;
  const auto own = context_->self.member;
  context_->parts.metadata.read([&](const metadata::state& s) {
    std::erase_if(holders, [&](member_id h) { return !s.is_live(h); });
    return 0;
  });
  std::stable_partition(holders.begin(), holders.end(), [&](member_id h) { return h == own; });
  std::string why;
  bool all_damaged = !holders.empty();
  for (const auto h : holders) {
    auto pending = transport::await_result<shared_bytes>(
        [&](log_links::answer then) {
          links_->call(h, call_kind::batches, codec::encode(call), {}, deadline, std::move(then));
        },
        deadline);
    auto batches = co_await std::move(pending);
    if (batches) co_return std::move(*batches);
    const auto& e = batches.error();
    why += (why.empty() ? "" : "; ") + context_->name_of(h) + ": " + e.message();
    if (means_damage(e.code()))
      context_->parts.data.report_damage(at.where.dataset, g.id, h, g.made(h), e.message());
    else
      all_damaged = false;
  }
  co_return error{all_damaged ? errc::data_loss : errc::unavailable,
                  "segment " + to_string(g.id) + " can't be read" +
                      (holders.empty() ? ": none of the members that hold it is there" : ": " + why)};
}

void log_reader::serve_batches(shared_bytes call, log_links::answer then) {
  const auto asked = codec::decode<batches_call>(call.view(), "a call for batches");
  if (!asked) return then(asked.error());
  auto& store = context_->parts.segments;
  std::function<void()> task = [c = context_, &store, asked = *asked, then] {
    auto read = read_file(store, asked);
    asio::post(c->io, [then, read = std::move(read)]() mutable {
      if (read)
        then(shared_bytes(std::move(*read)));
      else
        then(read.error());
    });
  };
  if (!context_->reading.post(std::move(task)))
    then(error{errc::resource_exhausted, "too many reads wait for the disk of this node; try again later"});
}

asio::awaitable<result<replication::read_response>> log_reader::ask_replica(const place& at, const replica_ref& whom,
                                                                            record_offset from, std::size_t bytes_max,
                                                                            milliseconds wait) {
  using replication::read_response;
  if (questions_.size() >= questions_max)
    co_return error{errc::resource_exhausted, "too many readers wait at this node; try again later"};
  if (whom.member != context_->self.member && !links_->is_connected(whom.member, lane::clients))
    co_return error{errc::unavailable, "there is no connection to " + context_->name_of(whom.member)};
  const auto number = ++last_question_;
  replication::message m;
  m.cluster = context_->parts.self.cluster;
  m.from = context_->self;
  m.to = whom;
  m.where = at.where;
  m.segment = at.open->id;
  m.epoch = at.open->epoch;
  m.request = number;
  replication::read_request body;
  body.from = from;
  body.bytes_max = static_cast<std::uint32_t>(bytes_max);
  body.wait_ms = static_cast<std::uint32_t>(wait.count());
  m.body = body;
  auto pending = transport::await_result<read_response>(
      [&](std::function<void(result<read_response>)> then) {
        questions_.emplace(number, std::move(then));
        send_(m);
      },
      after(wait + answer_time_max));
  auto said = co_await std::move(pending);
  questions_.erase(number);
  co_return std::move(said);
}

void log_reader::answered(const replication::message& m) {
  const auto at = questions_.find(m.request);
  if (at == questions_.end()) return;
  const auto then = std::move(at->second);
  questions_.erase(at);
  then(std::get<replication::read_response>(m.body));
}

void log_reader::metadata_changed() { changed_.notify_all(); }

void log_reader::stop() {
  changed_.notify_all();
  for (auto& [number, then] : std::exchange(questions_, {})) then(error{errc::cancelled, "this node is stopping"});
}

}  // namespace troupe::logs
