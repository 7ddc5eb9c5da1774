#include <actors/data/data_plane.hpp>
#include <actors/replication/copy_checker.hpp>
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <troupe/storage/open_segment.hpp>
#include <troupe/storage/segment_store.hpp>

namespace troupe::logs {

namespace asio = boost::asio;
using transport::steady_time;

namespace {
constexpr std::size_t wrong_max = 1000;     ///< segments in one report
constexpr std::size_t copies_per_call = 4;  ///< 256 MiB: some seconds of a slow disk
constexpr std::size_t open_piece_bytes = 4 << 20;

check_verdict verdict_of(const checked_copy& what, const error& why) {
  return {what.segment, why.code(), why.message(), 0};
}

check_verdict check_sealed(const storage::segment_store& store, const checked_copy& what) {
  const auto reader = store.open(what.segment);
  if (!reader) return verdict_of(what, reader.error());
  if (reader->summary().digest != what.digest)
    return verdict_of(what,
                      {errc::corrupted, reader->path() + " has the digest " + reader->summary().digest.to_string() +
                                            " instead of " + what.digest.to_string()});
  const auto good = reader->verify();
  if (!good) return verdict_of(what, good.error());
  return {what.segment, errc::none, "", reader->summary().file_bytes};
}

/// Every batch below what was acknowledged; what is written meanwhile stands behind it.
check_verdict check_open(storage::file_operations& operations, const std::string& path, const checked_copy& what) {
  check_verdict out{what.segment, errc::none, "", 0};
  for (record_offset at; at < what.records;) {
    const auto read = storage::read_batches(operations, path, what.segment, at, what.records, open_piece_bytes);
    if (!read) return verdict_of(what, read.error());
    if (read->empty())
      return verdict_of(what, {errc::corrupted, path + " ends before record " + to_string(what.records)});
    format::batch_cursor cursor(*read, what.segment);
    format::batch_view batch;
    for (;;) {
      const auto more = cursor.next(batch);
      if (!more) return verdict_of(what, more.error().with_context(path));
      if (!*more) break;
      at = record_offset{batch.header.first_offset.value + batch.header.count};
    }
    out.bytes += read->size();
  }
  return out;
}

copy_state state_of(errc code) {
  if (code == errc::none) return copy_state::intact;
  return code == errc::not_found ? copy_state::missing : copy_state::damaged;
}
}  // namespace

void copy_checker::check(checked_copy what, std::function<void(check_verdict)> then) {
  auto* given = context_->parts.operations;
  auto& operations = given != nullptr ? *given : storage::file_operations::system();
  std::function<void()> task = [c = context_, what, then, &operations] {
    const auto& store = c->parts.segments;
    auto verdict = what.open ? check_open(operations, store.path(what.segment), what) : check_sealed(store, what);
    asio::post(c->io, [c, then, verdict = std::move(verdict)] {
      c->count.copies_checked.add();
      then(verdict);
    });
  };
  if (!context_->checking.post(std::move(task)))
    then({what.segment, errc::resource_exhausted, "too many copies wait to be checked", 0});
}

void copy_checker::serve(shared_bytes call, log_links::answer then) {
  const auto asked = codec::decode<check_call>(call.view(), "a call to check copies");
  if (!asked) return then(asked.error());
  if (asked->copies.empty() || asked->copies.size() > 64)
    return then(error{errc::invalid_argument, "a call to check " + std::to_string(asked->copies.size()) + " copies"});
  const auto gathered = std::make_shared<check_answer>();
  for (const auto& what : asked->copies) {
    check(what, [gathered, total = asked->copies.size(), then](check_verdict v) {
      gathered->verdicts.push_back(std::move(v));
      if (gathered->verdicts.size() == total) then(shared_bytes(codec::encode(*gathered)));
    });
  }
}

asio::awaitable<result<void>> copy_checker::check_at(member_id where, checked_copy what, steady_time deadline) {
  const auto self = shared_from_this();
  check_call call;
  call.copies.push_back(what);
  auto pending = transport::await_result<shared_bytes>(
      [&](log_links::answer then) {
        links_->call(where, call_kind::check, codec::encode(call), {}, deadline, std::move(then));
      },
      deadline);
  auto said = co_await std::move(pending);
  if (!said) co_return said.error();
  auto answer = codec::decode<check_answer>(said->view(), "the verdict on a copy");
  if (!answer) co_return answer.error();
  if (answer->verdicts.size() != 1 || answer->verdicts[0].segment != what.segment)
    co_return error{errc::corrupted, "the verdict is on another copy"};
  const auto& verdict = answer->verdicts[0];
  if (verdict.code != errc::none) co_return error{verdict.code, verdict.why};
  co_return ok();
}

struct copy_checker::verification {
  verify_report report;
  std::vector<segment_report> segments;
  steady_time deadline;
  std::size_t members_left = 0;
  transport::notifier done;
};

asio::awaitable<void> copy_checker::verify_member(std::shared_ptr<verification> v, member_id id,
                                                  std::vector<asked_copy> copies) {
  const auto self = shared_from_this();
  const auto name = context_->name_of(id);
  for (std::size_t at = 0; at < copies.size(); at += copies_per_call) {
    const auto end = std::min(copies.size(), at + copies_per_call);
    check_call call;
    for (std::size_t i = at; i < end; ++i) call.copies.push_back(copies[i].what);
    auto pending = transport::await_result<shared_bytes>(
        [&](log_links::answer then) {
          links_->call(id, call_kind::check, codec::encode(call), {}, v->deadline, std::move(then));
        },
        v->deadline);
    auto said = co_await std::move(pending);
    result<check_answer> answer = check_answer{};
    if (said)
      answer = codec::decode<check_answer>(said->view(), "the verdicts on copies");
    else
      answer = said.error();
    for (std::size_t i = at; i < end; ++i) {
      copy_report copy{id, name, copy_state::unreachable,
                       answer ? "it said nothing of this copy" : answer.error().message()};
      auto& segment = v->segments[copies[i].segment];
      if (answer) {
        const auto found = std::find_if(answer->verdicts.begin(), answer->verdicts.end(),
                                        [&](const auto& x) { return x.segment == copies[i].what.segment; });
        if (found != answer->verdicts.end()) {
          // That the checking thread is busy says nothing about the copy.
          copy.state = found->code == errc::resource_exhausted ? copy_state::unreachable : state_of(found->code);
          copy.why = found->why;
          v->report.bytes += found->bytes;
        }
      }
      if (copy.state == copy_state::damaged || copy.state == copy_state::missing) {
        if (!segment.open)
          context_->parts.data.report_damage(v->report.dataset, segment.segment, id, copies[i].made, copy.why);
      }
      segment.copies.push_back(std::move(copy));
    }
  }
  --v->members_left;
  v->done.notify_all();
}

asio::awaitable<result<verify_report>> copy_checker::verify(std::string dataset,
                                                            std::map<segment_id, record_offset> ends,
                                                            steady_time deadline) {
  const auto self = shared_from_this();
  auto v = std::make_shared<verification>();
  v->deadline = deadline;
  std::map<member_id, std::vector<asked_copy>> by_member;
  bool there = false;
  context_->parts.metadata.read([&](const metadata::state& s) {
    const auto* d = s.find_dataset(dataset);
    if (d == nullptr) return 0;
    there = true;
    v->report.dataset = d->id;
    v->report.copies_wanted = d->copies;
    for (std::uint32_t p = 0; p < d->partitions.size(); ++p) {
      for (const auto& g : d->partitions[p].segments) {
        for (const auto h : g.holders)
          by_member[h].push_back({{g.id, g.digest, {}, false}, v->segments.size(), g.made(h)});
        segment_report one;
        one.segment = g.id;
        one.partition = partition_index{p};
        one.records = g.records;
        v->segments.push_back(std::move(one));
      }
      const auto& open = d->partitions[p].log.open;
      if (!open) continue;
      const auto end = ends.find(open->id);
      const auto records = end == ends.end() ? record_offset{} : end->second;
      for (const auto& r : open->replicas)
        by_member[r.member].push_back({{open->id, {}, records, true}, v->segments.size(), {}});
      segment_report one;
      one.segment = open->id;
      one.partition = partition_index{p};
      one.records = records.value;
      one.open = true;
      v->segments.push_back(std::move(one));
    }
    return 0;
  });
  if (!there) co_return error{errc::not_found, "there is no dataset " + dataset + "; «datasets» lists what there is"};
  v->members_left = by_member.size();
  for (auto& [id, copies] : by_member)
    asio::co_spawn(context_->io, verify_member(v, id, std::move(copies)), asio::detached);
  while (v->members_left != 0) {
    const auto seen = v->done.generation();
    const bool told = co_await v->done.wait(seen, deadline + std::chrono::seconds(1));
    if (!told || context_->stopping) break;
  }
  auto& report = v->report;
  for (auto& segment : v->segments) {
    ++report.segments;
    report.records += segment.records;
    std::size_t intact = 0, silent = 0;
    for (const auto& copy : segment.copies) {
      intact += copy.state == copy_state::intact ? 1 : 0;
      silent += copy.state == copy_state::unreachable ? 1 : 0;
    }
    const auto bad = segment.copies.size() - intact - silent;
    report.copies_intact += intact;
    report.copies_bad += bad;
    report.copies_unreachable += silent;
    const bool missing = !segment.open && intact + silent < report.copies_wanted;
    if (missing) report.copies_missing_yet += report.copies_wanted - intact - silent;
    segment.repairing = missing && intact != 0;
    if (intact == 0 && silent == 0) ++report.segments_lost;
    if ((bad != 0 || silent != 0 || missing) && report.wrong.size() < wrong_max) report.wrong.push_back(segment);
  }
  co_return std::move(report);
}

}  // namespace troupe::logs
