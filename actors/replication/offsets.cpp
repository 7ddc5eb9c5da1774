#include <actors/replication/offsets.hpp>
#include <algorithm>
#include <troupe/replication/repair.hpp>

namespace troupe::logs {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using transport::after;

namespace {
constexpr auto pause = 20ms;  ///< between two rounds while leaders change
constexpr auto round_time_max = 1s;

/// What metadata alone says; and whom to ask for the rest.
result<offsets::found_ends> known_ends(const metadata::state& s, const std::string& dataset,
                                       std::set<member_id>& leaders) {
  const auto* d = s.find_dataset(dataset);
  if (d == nullptr)
    return error{errc::not_found, "there is no dataset " + dataset + "; «datasets» lists what there is"};
  offsets::found_ends out;
  out.dataset = d->id;
  for (std::uint32_t p = 0; p < d->partitions.size(); ++p) {
    const auto& here = d->partitions[p];
    offsets::partition_end one;
    one.partition = partition_index{p};
    one.begin = one.end = record_offset{here.log.trimmed_records};
    for (const auto& g : here.segments) one.end.value += g.records;
    one.known = !here.log.open;
    if (here.log.open && here.log.leader) leaders.insert(here.log.leader->member);
    out.partitions.push_back(std::move(one));
  }
  return out;
}
}  // namespace

void offsets::serve(shared_bytes call, log_links::answer then) {
  const auto asked = codec::decode<ends_call>(call.view(), "a call for ends");
  if (!asked) return then(asked.error());
  then(shared_bytes(codec::encode(leaders_->ends_of(asked->dataset))));
}

asio::awaitable<result<ends_answer>> offsets::ask(member_id whom, dataset_id dataset, transport::steady_time deadline) {
  auto pending = transport::await_result<shared_bytes>(
      [&](log_links::answer then) {
        links_->call(whom, call_kind::ends, codec::encode(ends_call{dataset}), {}, deadline, std::move(then));
      },
      deadline);
  auto said = co_await std::move(pending);
  if (!said) co_return said.error();
  co_return codec::decode<ends_answer>(said->view(), "the ends of partitions");
}

asio::awaitable<result<offsets::found_ends>> offsets::find(std::string dataset, transport::steady_time deadline,
                                                           bool all) {
  const auto self = shared_from_this();
  for (;;) {
    std::set<member_id> leaders;
    auto found =
        context_->parts.metadata.read([&](const metadata::state& s) { return known_ends(s, dataset, leaders); });
    if (!found) co_return found.error();
    for (const auto whom : leaders) {
      const auto until = std::min<transport::steady_time>(deadline, after(round_time_max));
      auto said = co_await ask(whom, found->dataset, until);
      if (!said) {
        found->notes.push_back(context_->name_of(whom) + ": " + said.error().message());
        continue;
      }
      for (auto& end : said->partitions) {
        if (end.partition.value >= found->partitions.size()) continue;
        auto& p = found->partitions[end.partition.value];
        p.refusing = end.refusing;
        if (!end.ready) continue;
        p.end = std::max(p.end, end.end);
        p.open = end.open;
        p.known = true;
      }
    }
    const auto unknown =
        std::find_if(found->partitions.begin(), found->partitions.end(), [](const auto& p) { return !p.known; });
    if (unknown == found->partitions.end()) co_return std::move(*found);
    const auto text = "the end of partition " + to_string(unknown->partition) + " of dataset " + dataset +
                      " is not known now: its leader is changing";
    if (std::chrono::steady_clock::now() + pause >= deadline || context_->stopping) {
      if (all) co_return error{errc::unavailable, text + (found->notes.empty() ? "" : " (" + found->notes[0] + ")")};
      found->notes.push_back(text);
      co_return std::move(*found);
    }
    co_await transport::sleep_until(after(pause));
  }
}

asio::awaitable<result<dataset_status>> offsets::describe(std::string dataset, transport::steady_time deadline) {
  const auto self = shared_from_this();
  auto found = co_await find(dataset, deadline, false);
  if (!found) co_return found.error();
  dataset_status out;
  out.dataset = found->dataset;
  out.notes = std::move(found->notes);
  context_->parts.metadata.read([&](const metadata::state& s) {
    const auto* d = s.find_dataset(found->dataset);
    if (d == nullptr) return 0;
    for (std::uint32_t p = 0; p < d->partitions.size() && p < found->partitions.size(); ++p) {
      const auto& here = d->partitions[p];
      auto& end = found->partitions[p];
      partition_status one;
      one.partition = partition_index{p};
      one.epoch = here.log.epoch;
      if (here.log.leader) one.leader = here.log.leader->member;
      if (here.log.open) {
        one.open = here.log.open->id;
        for (const auto& r : here.log.open->replicas) one.replicas.push_back(r.member);
      }
      if (end.open && one.open == end.open->segment) one.open_bytes = end.open->bytes;
      one.begin = end.begin;
      one.end = end.end;
      one.refusing = std::move(end.refusing);
      one.sealed_segments = here.segments.size();
      for (const auto& g : here.segments) {
        one.bytes += g.bytes;
        const auto live = static_cast<std::size_t>(
            std::count_if(g.holders.begin(), g.holders.end(), [&](member_id h) { return s.is_live(h); }));
        if (g.holders.empty()) ++one.lost;
        if (live >= d->copies) continue;
        ++one.under_replicated;
        one.under_replicated_bytes += g.file_bytes;
      }
      out.partitions.push_back(std::move(one));
    }
    return 0;
  });
  co_return std::move(out);
}

}  // namespace troupe::logs
