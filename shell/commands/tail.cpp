#include <algorithm>
#include <charconv>
#include <shell/commands/log_commands.hpp>
#include <shell/commands/records.hpp>
#include <shell/display/table.hpp>
#include <shell/interrupts.hpp>
#include <shell/session.hpp>
#include <troupe/api/logs.hpp>

namespace troupe::shell {
namespace json = boost::json;
using namespace std::chrono_literals;
namespace {

constexpr std::uint64_t records_default = 10, records_max = 10'000, page_records = 1'000;
constexpr std::uint64_t poll_alone_ms = 10'000;  ///< a single partition is waited for at the node
constexpr std::uint64_t poll_round_ms = 250;     ///< several are asked in turn; a round takes about so long
constexpr std::uint64_t poll_least_ms = 10;
constexpr auto tail_patience_max = 60s;  ///< without any node that answers

/// Where to read on in a partition.
struct position {
  std::uint32_t partition = 0;
  std::uint64_t next = 0;
  std::uint64_t end = 0;  ///< when the command began
};

/// Time and place of an item, to put several partitions into one order.
auto order_of(const json::value& item) {
  const auto number = [&](const char* name) {
    const auto* value = member_at(item, name);
    json::error_code failed;
    return value == nullptr || !value->is_number() ? std::uint64_t{0} : value->to_number<std::uint64_t>(failed);
  };
  return std::tuple(cell_text(member_at(item, "appended_at"), shown_as::text, false), number("partition"),
                    number("offset"));
}

outcome<std::uint64_t> first_offset(const std::string& text, const api::partition_summary& p) {
  if (text == "begin") return p.begin_offset.value;
  if (text == "end") return p.end_offset.value;
  return read_number("--from", text, 0, UINT64_MAX);
}

/// The partitions that are meant, and where to begin in each.
outcome<std::vector<position>> positions_of(const api::dataset& d, const arguments& given, std::uint64_t count) {
  TROUPE_TRY(const auto only, given.number("--partition", 0, d.partitions.empty() ? 0 : d.partitions.size() - 1));
  const auto from = given.get("--from");
  if (!from.empty() && from != "begin" && from != "end" && !only && d.partitions.size() > 1)
    return usage_failure("every partition has offsets of its own: say which one with --partition (" + d.name + " has " +
                         std::to_string(d.partitions.size()) + ")");
  std::vector<position> out;
  for (std::uint32_t i = 0; i < d.partitions.size(); ++i) {
    if (only && *only != i) continue;
    const auto& p = d.partitions[i];
    position at{i, 0, p.end_offset.value};
    if (from.empty()) {
      at.next = std::max(p.begin_offset.value, at.end - std::min(at.end, count));
    } else {
      TROUPE_TRY(at.next, first_offset(from, p));
    }
    out.push_back(at);
  }
  return out;
}

/// Everything up to the end as it was, page by page.
template <class Take>
outcome<void> read_to_end(api_client& client, const std::string& name, position& at, std::uint64_t limit, Take take) {
  while (at.next < at.end && limit > 0) {
    TROUPE_TRY(auto page, read_page(client, name, at.partition, std::to_string(at.next),
                                    std::min({page_records, limit, at.end - at.next}), 0));
    if (page.next <= at.next)
      return failure(status::failed, name + ": nothing could be read at offset " + std::to_string(at.next) +
                                         " of partition " + std::to_string(at.partition));
    at.next = page.next;
    limit -= std::min<std::uint64_t>(limit, page.items.size());
    take(std::move(page.items));
  }
  return done();
}

/// The newest of all partitions, by the time of their appends.
outcome<json::array> newest(api_client& client, const std::string& name, std::vector<position>& positions,
                            std::uint64_t count) {
  std::vector<json::value> all;
  for (auto& at : positions)
    TROUPE_TRY_VOID(read_to_end(client, name, at, count, [&](json::array items) {
      for (auto& item : items) all.push_back(std::move(item));
    }));
  if (positions.size() > 1)
    std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return order_of(a) < order_of(b); });
  const auto skip = all.size() - std::min<std::size_t>(all.size(), count);
  json::array out;
  for (auto i = skip; i < all.size(); ++i) out.push_back(std::move(all[i]));
  return out;
}

/// Shows what comes until Ctrl-C. A cluster of which no node answers is asked again for a minute.
outcome<void> follow(session& s, api_client& client, const std::string& name, std::vector<position> positions,
                     bool first) {
  auto answered = std::chrono::steady_clock::now();
  const auto each_ms =
      positions.size() == 1 ? poll_alone_ms : std::max(poll_least_ms, poll_round_ms / positions.size());
  bool busy = false;  // while one partition has news, the others are asked without waiting
  for (;;) {
    bool news = false;
    for (auto& at : positions) {
      auto page = read_page(client, name, at.partition, std::to_string(at.next), page_records,
                            busy && positions.size() > 1 ? 0 : each_ms);
      if (interrupts::pending()) return failure(status::interrupted, "");
      const auto now = std::chrono::steady_clock::now();
      if (!page) {
        const auto& why = page.error();
        const bool passing = why.status == status::no_cluster || why.unavailable;
        if (!passing || now - answered > tail_patience_max) return why;
        interrupts::sleep_ms(100);
        continue;
      }
      answered = now;
      at.next = page->next;
      if (page->items.empty()) continue;
      news = true;
      show_more_records(s, page->items, first);
      first = false;
    }
    busy = news;
  }
}

outcome<void> tail(session& s, const arguments& given) {
  const auto& name = given.words[0];
  std::uint64_t count = records_default;
  if (given.words.size() > 1) {
    TROUPE_TRY(count, read_number("tail", given.words[1], 0, records_max));
  }
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto about, client->get_as<api::dataset>(dataset_path(name), "dataset"));
  TROUPE_TRY(auto positions, positions_of(about, given, count));
  const bool follows = given.has("--follow");
  if (!given.has("--from")) {
    TROUPE_TRY(const auto last, newest(*client, name, positions, count));
    if (!follows) {
      show_records(s, last);
      return done();
    }
    show_more_records(s, last, true);
    return follow(s, *client, name, std::move(positions), last.empty());
  }
  const auto limit = given.words.size() > 1 ? count : UINT64_MAX;
  bool first = true;
  if (!follows)
    for (auto& at : positions)
      TROUPE_TRY_VOID(read_to_end(*client, name, at, limit, [&](const json::array& items) {
        show_more_records(s, items, first);
        first = false;
      }));
  return follows ? follow(s, *client, name, std::move(positions), true) : done();
}

}  // namespace

command tail_command() {
  return {.name = "tail",
          .group = "data",
          .usage = "tail NAME [N]",
          .summary = "Shows the last N records (10), or all from an offset on",
          .help =
              "With --follow it goes on with what is appended, until Ctrl-C. Only records that are durable are shown. "
              "With -o json or --from it writes a line for each record.",
          .example = "tail clicks 100 --follow\ntail clicks --partition 2 --from 5000",
          .options = {{"--follow", "", "shows new records as they come"},
                      {"--from", "OFFSET", "of the first one; begin and end are offsets too"},
                      {"--partition", "P", "only this one"}},
          .words_min = 1,
          .words_max = 2,
          .completes = word_kind::dataset,
          .run = tail};
}

}  // namespace troupe::shell
