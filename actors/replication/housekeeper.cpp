#include <actors/data/data_plane.hpp>
#include <actors/replication/housekeeper.hpp>
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <troupe/storage/segment_store.hpp>
#include <troupe/telemetry/journal.hpp>
#include <troupe/telemetry/log.hpp>

namespace troupe::logs {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using transport::after;
using transport::steady_time;

namespace {
constexpr std::size_t copies_at_once = 2;
constexpr auto pause_after_failure = 10s;  ///< for the segment that could not be copied
constexpr auto head_start = 500ms;         ///< to look at a file of 64 MiB and say that it is whole
constexpr auto upkeep_proposal_time_max = 10s;
constexpr auto check_time_max = 10min;
constexpr std::uint64_t scrub_bytes_per_second = 8 << 20;

replication::repair_options repair_options_of(const log_plane_options& o) {
  replication::repair_options out;
  out.bytes_per_second = o.repair_bytes_per_second;
  out.head_start = head_start;
  return out;
}

steady_time steady(replication::time_point at) { return std::chrono::time_point_cast<steady_time::duration>(at); }
}  // namespace

housekeeper::housekeeper(log_context_ptr c, std::shared_ptr<copy_checker> checker, std::shared_ptr<leader_host> leaders,
                         std::function<bool(segment_id)> replica_busy, adopt_function adopt)
    : context_(std::move(c)),
      checker_(std::move(checker)),
      leaders_(std::move(leaders)),
      replica_busy_(std::move(replica_busy)),
      planner_(repair_options_of(context_->options)),
      bandwidth_(context_->options.repair_bytes_per_second),
      scrub_bandwidth_(scrub_bytes_per_second),
      scrub_(context_->options.scrub_period),
      adopt_(std::move(adopt)) {}

void housekeeper::start() {
  asio::co_spawn(context_->io, repair_for_ever(), asio::detached);
  asio::co_spawn(context_->io, give_up_for_ever(), asio::detached);
  asio::co_spawn(context_->io, scrub_for_ever(), asio::detached);
  asio::co_spawn(context_->io, keep_house_for_ever(), asio::detached);
}

asio::awaitable<check_verdict> housekeeper::check(checked_copy what) {
  auto pending = transport::await_result<check_verdict>(
      [&](std::function<void(result<check_verdict>)> then) {
        checker_->check(what, [then = std::move(then)](check_verdict v) { then(std::move(v)); });
      },
      after(check_time_max));
  auto said = co_await std::move(pending);
  if (said) co_return std::move(*said);
  co_return check_verdict{what.segment, errc::resource_exhausted, said.error().message(), 0};
}

asio::awaitable<result<metadata::response>> housekeeper::propose(metadata::command what) {
  const auto time_max = std::chrono::milliseconds(upkeep_proposal_time_max);
  auto pending = transport::await_result<metadata::response>(
      [&](std::function<void(result<metadata::response>)> then) {
        context_->propose(std::move(what), time_max, std::move(then));
      },
      after(time_max + 1s));
  co_return co_await std::move(pending);
}

asio::awaitable<void> housekeeper::repair_for_ever() {
  const auto self = shared_from_this();
  while (!context_->stopping) {
    const auto seen = changed_.generation();
    const auto files = co_await files_to_adopt();
    if (context_->stopping) co_return;
    const auto now = context_->now().now;
    std::erase_if(failed_until_, [&](const auto& one) { return one.second <= std::chrono::steady_clock::now(); });
    const auto tasks = context_->parts.metadata.read(
        [&](const metadata::state& s) { return planner_.plan(now, s, context_->self.member, files); });
    for (const auto& task : tasks) {
      if (copying_.size() >= copies_at_once) break;
      if (replica_busy_(task.segment)) continue;  // an old seal would cut the new copy: soon again
      if (failed_until_.contains(task.segment) || !copying_.insert(task.segment).second) continue;
      asio::co_spawn(context_->io, copy(task), asio::detached);
    }
    co_await changed_.wait(seen, after(context_->options.repair_interval));
  }
}

/// Files of segments that lack copies need not be fetched if they are whole: what lies here. Empty when nothing lacks.
asio::awaitable<std::set<segment_id>> housekeeper::files_to_adopt() {
  const auto self = shared_from_this();
  std::set<segment_id> out;
  const bool wanted = context_->parts.metadata.read(
      [&](const metadata::state& s) { return replication::repair_planner::is_wanted(s, context_->self.member); });
  if (!wanted) {
    useless_.clear();  // another copy may lie there when it is wanted again
    co_return out;
  }
  using ids = std::vector<segment_id>;
  auto pending = transport::await_result<ids>(
      [&](std::function<void(result<ids>)> then) {
        std::function<void()> task = [c = context_, then] {
          asio::post(c->io, [then, found = c->parts.segments.list()] { then(found); });
        };
        if (!context_->disk.post(std::move(task))) then(error{errc::resource_exhausted, "too much waits for the disk"});
      },
      after(check_time_max));
  const auto found = co_await std::move(pending);
  if (!found) co_return out;
  for (const auto id : *found)
    if (!useless_.contains(id)) out.insert(id);
  co_return out;
}

asio::awaitable<void> housekeeper::copy(replication::copy_task task) {
  const auto self = shared_from_this();
  const auto id = task.segment;
  auto source = context_->self.member;
  auto made = co_await have_copy(task, source);
  if (made && !context_->stopping) {
    metadata::command what = metadata::add_holder{task.dataset, id, context_->self, source, task.digest};
    const auto listed = co_await propose(std::move(what));
    if (!listed) made = listed.error();
    if (listed) {
      const auto which = "copy of segment " + to_string(id) + " of dataset " + to_string(task.dataset);
      const auto text = source == context_->self.member ? "the " + which + " that lay here is whole and counts again"
                                                        : "a " + which + " was made from " + context_->name_of(source);
      context_->parts.journal.append("copy_made", context_->name_of(context_->self.member), text);
    }
  }
  if (!made) failed_until_[id] = after(pause_after_failure);
  copying_.erase(id);
  changed_.notify_all();
}

/// What lies here already (given up, left open by an earlier start, or made by a try that metadata never heard of)
/// counts when it is whole. If it is not, it stays until a copy from another member is: there may be no other.
asio::awaitable<result<void>> housekeeper::have_copy(replication::copy_task task, member_id& source) {
  const auto self = shared_from_this();
  const auto id = task.segment;
  checked_copy expected;
  expected.segment = id;
  expected.digest = task.digest;
  const auto verdict = co_await check(expected);
  if (verdict.code == errc::none) co_return ok();
  if (verdict.code == errc::resource_exhausted) co_return error{verdict.code, verdict.why};
  if (verdict.code != errc::not_found) {
    auto adopted = co_await adopt(id);
    if (adopted) co_return ok();
    const auto code = adopted.error().code();
    if (code == errc::corrupted || code == errc::not_found) useless_.insert(id);
    if (!task.fetch) co_return adopted.error();
  }
  if (!task.fetch) co_return error{verdict.code, verdict.why};
  auto made = co_await fetch(task, source);
  if (made) useless_.erase(id);
  co_return made;
}

asio::awaitable<result<void>> housekeeper::adopt(segment_id id) {
  const auto self = shared_from_this();
  const auto expected = context_->parts.metadata.read([&](const metadata::state& s) {
    std::optional<format::segment_summary> out;
    if (const auto* g = s.find_segment(id))
      out = format::segment_summary{g->bytes, g->file_bytes, g->records, g->digest};
    return out;
  });
  if (!expected) co_return error{errc::not_found, "segment " + to_string(id) + " is not there (any more)"};
  auto pending = transport::await_result<void>(
      [&](std::function<void(result<void>)> then) { adopt_(id, *expected, std::move(then)); }, after(check_time_max));
  co_return co_await std::move(pending);
}

/// From the first holder that can give it.
asio::awaitable<result<void>> housekeeper::fetch(replication::copy_task task, member_id& source) {
  const auto self = shared_from_this();
  const auto id = task.segment;
  result<void> made = error{errc::unavailable, "nobody has a copy of segment " + to_string(id)};
  const auto begin = steady(bandwidth_.reserve(context_->now().now, task.file_bytes));
  if (begin > std::chrono::steady_clock::now()) co_await transport::sleep_until(begin);
  for (const auto from : task.sources) {
    if (context_->stopping) co_return error{errc::cancelled, "this node is stopping"};
    source = from;
    const auto copy_made = context_->parts.metadata.read([&](const metadata::state& s) {
      const auto* g = s.find_segment(id);
      return g != nullptr ? g->made(from) : log_index{};
    });
    auto pending = transport::await_result<void>(
        [&](std::function<void(result<void>)> then) {
          context_->parts.data.copy_segment(task.dataset, id, from, std::move(then));
        },
        after(check_time_max));
    made = co_await std::move(pending);
    if (made) {
      context_->count.copies_made.add();
      context_->count.bytes_copied.add(task.file_bytes);
      break;
    }
    context_->parts.log.warning("log", "segment " + to_string(id) + " could not be copied from " +
                                           context_->name_of(from) + ": " + made.error().message());
    if (made.error().code() == errc::corrupted)
      context_->parts.data.report_damage(task.dataset, id, from, copy_made, made.error().message());
  }
  co_return made;
}

asio::awaitable<void> housekeeper::give_up_for_ever() {
  const auto self = shared_from_this();
  while (!context_->stopping) {
    const auto seen = changed_.generation();
    const auto surplus = context_->parts.metadata.read(
        [&](const metadata::state& s) { return planner_.plan_removals(s, context_->self.member); });
    for (const auto& removal : surplus) {
      if (context_->stopping) co_return;
      co_await give_up(removal);
    }
    co_await changed_.wait(seen, after(context_->options.repair_interval));
  }
}

/// Once every other live holder has said that its own copy is whole: rot that nobody has seen must not be what is left.
asio::awaitable<void> housekeeper::give_up(metadata::remove_holder removal) {
  checked_copy expected;
  expected.segment = removal.segment;
  const auto others = context_->parts.metadata.read([&](const metadata::state& s) {
    std::vector<std::pair<member_id, log_index>> live;
    if (const auto* g = s.find_segment(removal.segment)) {
      expected.digest = g->digest;
      for (const auto h : g->holders)
        if (h != context_->self.member && s.is_live(h)) live.emplace_back(h, g->made(h));
    }
    return live;
  });
  for (const auto& [other, made] : others) {
    const auto whole = co_await checker_->check_at(other, expected, after(check_time_max));
    if (whole) continue;
    const auto code = whole.error().code();
    if (code == errc::corrupted || code == errc::not_found || code == errc::io_error)
      context_->parts.data.report_damage(removal.dataset, removal.segment, other, made, whole.error().message());
    co_return;
  }
  metadata::command what = removal;
  const auto removed = co_await propose(std::move(what));
  if (!removed && removed.error().code() != errc::failed_precondition)
    context_->parts.log.info("log", "a copy that is not needed stays for now: " + removed.error().message());
}

asio::awaitable<void> housekeeper::scrub_for_ever() {
  const auto self = shared_from_this();
  while (!context_->stopping) {
    const auto next = context_->parts.metadata.read(
        [&](const metadata::state& s) { return scrub_.next(context_->now().now, s, context_->self.member); });
    const auto look_again = after(1min);
    const auto due = next ? std::min(steady(next->second), look_again) : look_again;
    if (!next || due > std::chrono::steady_clock::now()) {
      // Not woken by every change: an hour more or less does not matter here.
      while (!context_->stopping && std::chrono::steady_clock::now() < due) {
        const auto step = std::min<steady_time>(due, after(1s));
        co_await transport::sleep_until(step);
      }
      continue;
    }
    const auto& what = next->first;
    const auto begin = steady(scrub_bandwidth_.reserve(context_->now().now, what.file_bytes));
    if (begin > std::chrono::steady_clock::now()) co_await transport::sleep_until(begin);
    if (context_->stopping) co_return;
    checked_copy expected;
    expected.segment = what.segment;
    expected.digest = what.digest;
    const auto verdict = co_await check(expected);
    scrub_.checked(context_->now().now, what.segment);
    // It may have been given up meanwhile.
    const bool held = context_->parts.metadata.read([&](const metadata::state& s) {
      const auto holders = s.holders_of(what.segment);
      return std::find(holders.begin(), holders.end(), context_->self.member) != holders.end();
    });
    if (held && verdict.code != errc::none && verdict.code != errc::resource_exhausted)
      context_->parts.data.report_damage(what.dataset, what.segment, context_->self.member, what.made, verdict.why);
  }
}

asio::awaitable<void> housekeeper::keep_house_for_ever() {
  const auto self = shared_from_this();
  while (!context_->stopping) {
    co_await transport::sleep_until(after(context_->options.housekeeping_interval));
    if (context_->stopping) co_return;
    leaders_->evaluate();
    leaders_->balance();
    // One member does it for all; a second one's commands would do no harm.
    std::vector<metadata::trim_partition> trims;
    context_->parts.metadata.read([&](const metadata::state& s) {
      for (const auto& [id, m] : s.members()) {
        if (!s.is_live(id)) continue;
        if (id == context_->self.member) trims = replication::plan_retention(s, context_->now().unix_ms);
        break;
      }
      return 0;
    });
    for (auto& trim : trims) {
      metadata::command what = trim;
      const auto done = co_await propose(std::move(what));
      if (!done && done.error().code() == errc::unavailable) break;
    }
  }
}

}  // namespace troupe::logs
