#include <troupe/sdk.hpp>

#include <string>

/// The twenty paths of a web server's log that were asked for most, and the twenty largest hosts by answered bytes: two
/// jobs of one module. Lines in the common or combined format:
///
///     10.0.0.7 - - [12/Mar/2026:06:25:24 +0000] "GET /index.html HTTP/1.1" 200 5120 "-" "curl/8"
namespace top_requests {

/// The piece of the line behind `from` and before `to`; empty when there is none.
inline std::string_view between(std::string_view line, std::string_view from, char to) {
  const auto begin = line.find(from);
  if (begin == line.npos) return {};
  line.remove_prefix(begin + from.size());
  return line.substr(0, line.find(to));
}
inline std::string_view path_of(std::string_view line) {
  const auto request = between(line, "\"", '"');  // GET /index.html?x=1 HTTP/1.1
  auto path = between(request, " ", ' ');
  return path.substr(0, path.find('?'));
}
inline std::uint64_t bytes_of(std::string_view line) {
  const auto behind = between(line, "\" ", '"');  // 200 5120
  std::uint64_t bytes = 0;
  for (const char c : between(behind, " ", ' ')) {
    if (c < '0' || c > '9') break;
    bytes = bytes * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return bytes;
}

using counted = std::pair<std::string_view, std::uint64_t>;
constexpr auto by_count = [](const counted& c) { return c.second; };

TROUPE_JOB(top_paths,
           troupe::read_lines() | troupe::map([](std::string_view line) { return counted(path_of(line), 1); }) |
               troupe::filter([](const counted& c) { return !c.first.empty(); }) | troupe::fold_by_key<troupe::sum>() |
               troupe::top<20>(by_count) | troupe::write("path", "requests"));

TROUPE_JOB(top_hosts, troupe::read_lines() | troupe::map([](std::string_view line) {
                        return counted(line.substr(0, line.find(' ')), bytes_of(line));
                      }) | troupe::fold_by_key<troupe::sum>() |
                          troupe::top<20>(by_count) | troupe::write("host", "bytes"));

}  // namespace top_requests
