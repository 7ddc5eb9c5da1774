#include <troupe/sdk.hpp>

#include <boost/describe/class.hpp>
#include <charconv>
#include <string>

/// Requests, bytes and errors by path, host or status of a web server's log in the common or combined format:
///
///     127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326
///
/// Parameters: by=path|host|status (path), status_min=N (0: requests with a lower status are left out).
/// Counters: requests, filtered, malformed. The first few malformed lines of each task go to the job's log.
struct totals {
  std::uint64_t requests = 0;
  std::uint64_t bytes = 0;
  std::uint64_t errors = 0;  ///< status 400 and above
};
BOOST_DESCRIBE_STRUCT(totals, (), (requests, bytes, errors))

struct request {
  std::string_view host, path, status_text;
  std::uint64_t status = 0, bytes = 0;
};

inline bool read_number(std::string_view text, std::uint64_t& out) {
  const auto [rest, failed] = std::from_chars(text.data(), text.data() + text.size(), out);
  return failed == std::errc{} && rest == text.data() + text.size();
}

inline bool parse(std::string_view line, request& out) {
  out.host = line.substr(0, line.find(' '));
  const auto open = line.find('"');
  const auto close = open == line.npos ? line.npos : line.find('"', open + 1);
  if (close == line.npos || out.host.empty()) return false;
  const auto quoted = line.substr(open + 1, close - open - 1);  // GET /path HTTP/1.0
  const auto method_end = quoted.find(' ');
  if (method_end == quoted.npos) return false;
  out.path = quoted.substr(method_end + 1);
  out.path = out.path.substr(0, out.path.find_first_of(" ?"));
  std::string_view size;
  int field = 0;
  for (auto word : troupe::words(line.substr(close + 1))) {
    if (field == 0) out.status_text = word;
    if (field == 1) size = word;
    if (++field == 2) break;
  }
  if (field < 2 || !read_number(out.status_text, out.status)) return false;
  out.bytes = 0;
  return size == "-" || read_number(size, out.bytes);
}

struct requests : troupe::mapper<std::string_view, std::string_view, totals> {
  void start(const troupe::parameters& parameters, troupe::context& context) {
    by = parameters.text("by", "path");
    if (by != "path" && by != "host" && by != "status")
      throw troupe::failure("by=" + by + " is none of path, host and status");
    status_min = parameters.integer("status_min", 0);
    where = &context;
    good = &context.counter_named("requests");
    filtered = &context.counter_named("filtered");
    malformed = &context.counter_named("malformed");
  }

  void map(std::string_view line, emitter& emit) {
    request r;
    if (!parse(line, r)) {
      ++*malformed;
      if (complaints++ < 3)
        where->log("malformed at offset " + std::to_string(where->offset()) + ": " + std::string(line.substr(0, 200)));
      return;
    }
    if (static_cast<std::int64_t>(r.status) < status_min) {
      ++*filtered;
      return;
    }
    ++*good;
    emit(by == "path" ? r.path : by == "host" ? r.host : r.status_text, {1, r.bytes, r.status >= 400 ? 1U : 0U});
  }

  std::string by;
  std::int64_t status_min = 0;
  int complaints = 0;
  troupe::context* where = nullptr;
  troupe::counter *good = nullptr, *filtered = nullptr, *malformed = nullptr;
};

struct add : troupe::folder<totals, totals> {
  totals init() { return {}; }
  void fold(totals& a, const totals& b) {
    a.requests += b.requests;
    a.bytes += b.bytes;
    a.errors += b.errors;
  }
  void merge(totals& a, const totals& b) { fold(a, b); }
};

TROUPE_JOB(log_analysis,
           troupe::read_lines() | troupe::map<requests>() | troupe::fold_by_key<add>() |
               troupe::write("what", "totals"),
           troupe::parameter("by", "what requests are counted by: path (unless given), host or status"),
           troupe::parameter("status_min", "only requests with this status or a higher one"));
