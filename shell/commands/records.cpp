#include <shell/commands/records.hpp>

#include <algorithm>
#include <charconv>
#include <shell/cluster/api_client.hpp>
#include <shell/display/table.hpp>
#include <shell/session.hpp>
#include <troupe/api/logs.hpp>

namespace troupe::shell {
namespace json = boost::json;
namespace {

/// What a table or CSV of these records has; `names` keeps the texts that the columns point to.
std::vector<column> columns_of(const json::array& items, std::vector<std::string>& names) {
  std::vector<column> columns{{"PARTITION", "partition"}, {"OFFSET", "offset"}};
  const auto* first = items.empty() ? nullptr : member_at(items[0], "record");
  if (first == nullptr || !first->is_object()) {
    columns.push_back({"RECORD", "record", shown_as::value});
    return columns;
  }
  for (const auto& [field, value] : first->get_object()) names.push_back("record." + std::string(field));
  for (const auto& path : names) columns.push_back({path.c_str() + 7, path.c_str(), shown_as::value});
  return columns;
}

bool are_texts(const json::array& items) {
  const auto* first = items.empty() ? nullptr : member_at(items[0], "record");
  return first != nullptr && first->is_string();
}

std::string as_texts(const json::array& items) {
  std::string out;
  for (const auto& item : items) out += cell_text(member_at(item, "record"), shown_as::text, true) + "\n";
  return out;
}

}  // namespace

std::string dataset_path(const std::string& name) { return "/datasets/" + transport::percent_encode(name); }

outcome<json::array> json_lines(std::string_view text) {
  json::array items;
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find('\n', begin), text.size());
    if (end > begin) {
      TROUPE_TRY(auto item, api::detail::parse(text.substr(begin, end - begin), "record"));
      items.push_back(std::move(item));
    }
    begin = end + 1;
  }
  return items;
}

outcome<record_page> read_page(api_client& client, const std::string& dataset, std::uint32_t partition,
                               const std::string& from, std::uint64_t limit, std::uint64_t wait_ms) {
  auto request =
      request_for("GET", dataset_path(dataset) + "/records?partition=" + std::to_string(partition) + "&from=" + from +
                             "&limit=" + std::to_string(limit) + "&wait_ms=" + std::to_string(wait_ms));
  request.read_time_max = limits::request_time_max + std::chrono::milliseconds(wait_ms);
  TROUPE_TRY(const auto answer, client.send(std::move(request)));
  record_page page;
  TROUPE_TRY(page.items, json_lines(answer.body));
  const auto next = answer.field(api::next_offset_field);
  const auto [rest, failed] = std::from_chars(next.data(), next.data() + next.size(), page.next);
  if (failed != std::errc{} || rest != next.data() + next.size())
    return failure(status::failed, "the node's answer does not say where to go on (" +
                                       std::string(api::next_offset_field) + " is \"" + std::string(next) + "\")");
  return page;
}

void show_records(session& s, const json::array& items) {
  if (s.settings.output == output_format::table && are_texts(items)) return s.print(as_texts(items));
  std::vector<std::string> names;
  const auto columns = columns_of(items, names);
  show_items(s, items, columns);
}

void show_more_records(session& s, const json::array& items, bool first) {
  if (items.empty()) return;
  std::string out;
  if (s.settings.output == output_format::json) {
    for (const auto& item : items) out += compact(item) + "\n";
    return s.print(out);
  }
  if (s.settings.output == output_format::csv) {
    std::vector<std::string> names, cells;
    const auto columns = columns_of(items, names);
    for (const auto& c : columns) cells.emplace_back(c.member);
    if (first) out += csv_row(cells);
    for (const auto& item : items) {
      cells.clear();
      for (const auto& c : columns) cells.push_back(cell_text(member_at(item, c.member), c.how, false));
      out += csv_row(cells);
    }
    return s.print(out);
  }
  if (are_texts(items)) return s.print(as_texts(items));
  for (const auto& item : items)
    if (const auto* record = member_at(item, "record")) out += harmless(compact(*record)) + "\n";
  s.print(out);
}

}  // namespace troupe::shell
