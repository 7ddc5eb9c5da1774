#include <actors/data/data_plane.hpp>
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <troupe/api/datasets.hpp>
#include <troupe/api/schema_text.hpp>
#include <troupe/base/text.hpp>
#include <troupe/format/record_csv.hpp>
#include <vector>

#include "node/daemon/api_services.hpp"

/// POST /api/v1/datasets/NAME: the body is the data. It becomes a dataset when its end has come and everything is on
/// its disks; otherwise nothing of it stays.
namespace troupe::node {
namespace {

using boost::asio::awaitable;
using transport::http_request;
using transport::http_response;

constexpr std::size_t sample_bytes_max = 1 << 20;  ///< of a text whose schema is read off it
/// What goes to the importer's thread at once: every hand-over wakes two threads, and a socket gives 50 KiB at a time.
constexpr std::size_t piece_bytes = 512 << 10;

struct import_wish {
  data::import_options options;
  bool infer = false;  ///< the schema, from the text's first rows
};

/// «,», «;», «|», «tab».
result<char> parse_delimiter(std::string_view text) {
  if (text == "tab" || text == "\\t") return '\t';
  if (text.size() == 1 && static_cast<unsigned char>(text[0]) < 0x80) return text[0];
  return error{errc::invalid_argument,
               "a delimiter is one character of ASCII, or tab: not \"" + std::string(text.substr(0, 16)) + "\""};
}

result<bool> read_flag(const http_request& request, std::string_view name) {
  const auto text = request.query(name).value_or("false");
  if (text == "true" || text == "false") return text == "true";
  return error{errc::invalid_argument, std::string(name) + " is true or false"};
}

result<void> read_layout(const http_request& request, import_wish& wish) {
  auto& text = wish.options.text;
  const std::string format(request.query("format").value_or("lines"));
  if (format != "lines" && format != "csv" && format != "json")
    return error{errc::invalid_argument, "unknown format \"" + format.substr(0, 64) + "\" (known: lines, csv, json)"};
  const bool csv = format == "csv";
  if (!csv)
    for (const auto* only : {"header", "delimiter"})
      if (request.query(only))
        return error{errc::invalid_argument, std::string(only) + " is for CSV, not for " + format};
  if (format == "lines") {
    for (const auto* only : {"schema", "on_error"})
      if (request.query(only))
        return error{errc::invalid_argument, std::string(only) + " is for CSV and JSON: a line is taken as it is"};
    return ok();
  }
  wish.options.format = data_format::records;
  text.kind = csv ? format::text_kind::csv : format::text_kind::json;
  TROUPE_TRY(text.header, read_flag(request, "header"));
  if (const auto given = request.query("delimiter")) {
    TROUPE_TRY(text.delimiter, parse_delimiter(*given));
  }
  const auto on_error = request.query("on_error").value_or("fail");
  if (on_error != "fail" && on_error != "skip")
    return error{errc::invalid_argument,
                 "on_error is fail or skip, not \"" + std::string(on_error.substr(0, 64)) + "\""};
  text.skip_wrong = on_error == "skip";
  if (const auto given = request.query("schema")) {
    TROUPE_TRY(wish.options.schema, api::parse_schema(*given));
  } else {
    wish.infer = true;
  }
  return ok();
}

result<import_wish> read_wish(const http_request& request) {
  import_wish wish;
  wish.options.dataset = std::string(request.parameter("name"));
  TROUPE_TRY_VOID(check_name("dataset", wish.options.dataset));
  TROUPE_TRY_VOID(read_layout(request, wish));
  TROUPE_TRY(const auto copies, request.query_number("copies", 0, 1, 16));
  TROUPE_TRY(const auto partitions, request.query_number("partitions", 0, 1, limits::partitions_max));
  wish.options.copies = static_cast<std::uint32_t>(copies);
  wish.options.partitions = static_cast<std::uint32_t>(partitions);
  TROUPE_TRY(wish.options.replace, read_flag(request, "replace"));
  wish.options.size_bytes = request.head().content_length;
  return wish;
}

awaitable<result<std::unique_ptr<data::importer>>> start(api_services& s, data::import_options options) {
  auto started = co_await transport::await_result<std::unique_ptr<data::importer>>(
      [&](auto then) {
        // std::function wants copyable callables; the importer itself is moved through.
        s.data.start_import(options, [then](result<std::unique_ptr<data::importer>> r) { then(std::move(r)); });
      },
      transport::after(std::chrono::seconds(15)));
  co_return started;
}

/// One import on its way, and where its wrong rows go: a dataset of lines that is made when the first of them comes.
struct import_run {
  api_services& s;
  import_wish wish;
  std::unique_ptr<data::importer> main{};
  std::unique_ptr<data::importer> rejected{};
  std::uint64_t rejected_rows = 0;

  [[nodiscard]] std::string rejected_name() const { return wish.options.dataset + "_rejected"; }

  awaitable<result<void>> keep_rejected() {
    const auto rows = main->take_rejected();
    if (rows.empty()) co_return ok();
    rejected_rows += static_cast<std::uint64_t>(std::count(rows.begin(), rows.end(), '\n'));
    if (!rejected) {
      data::import_options aside;
      aside.dataset = rejected_name();
      aside.copies = wish.options.copies;
      aside.replace = wish.options.replace;
      auto started = co_await start(s, std::move(aside));
      if (!started) co_return started.error().with_context("keeping the rows that are no records");
      rejected = std::move(*started);
    }
    auto written = co_await rejected->write(rows);
    co_return written;
  }

  awaitable<result<void>> write(bytes_view data) {
    const auto taken = co_await main->write(data);
    if (!taken) co_return taken.error();
    auto kept = co_await keep_rejected();
    co_return kept;
  }

  /// The dataset becomes visible, then its wrong rows. Gives what there is to say of these; without a sentence when
  /// there are none.
  awaitable<result<std::string>> finish() {
    const auto done = co_await main->finish();
    if (!done) co_return done.error();
    auto kept = co_await keep_rejected();
    if (kept && rejected) {
      const auto aside = co_await rejected->finish();
      if (!aside) kept = aside.error();
    }
    if (!kept) co_return "rows were left out, and could not be kept: " + kept.error().message();
    if (rejected_rows == 0) co_return std::string();
    co_return std::to_string(rejected_rows) + (rejected_rows == 1 ? " row was" : " rows were") +
        " left out, and kept as dataset " + rejected_name();
  }

  awaitable<void> abort() {
    if (rejected) co_await rejected->abort();
    if (main) co_await main->abort();
  }
};

/// The text's first part, as much as the schema is read off.
awaitable<result<bytes>> read_sample(http_request& request, bool& whole) {
  bytes sample;
  std::vector<char> buffer(piece_bytes);
  while (sample.size() < sample_bytes_max) {
    const auto got = co_await request.read_some(buffer);
    if (!got) co_return got.error();
    if (*got == 0) {
      whole = true;
      break;
    }
    sample.append(buffer.data(), *got);
  }
  co_return sample;
}

/// As much of the body as the buffer takes; less at its end only.
awaitable<result<std::size_t>> fill(http_request& request, std::span<char> buffer) {
  std::size_t filled = 0;
  while (filled < buffer.size()) {
    const auto got = co_await request.read_some(buffer.subspan(filled));
    if (!got) co_return got.error();
    if (*got == 0) break;
    filled += *got;
  }
  co_return filled;
}

/// A piece that is on its way into the importer while the next one is read.
class piece_under_way {
 public:
  explicit piece_under_way(const boost::asio::any_io_executor& executor)
      : state_(std::make_shared<state>(executor)), executor_(executor) {}

  void begin(import_run& import, bytes_view piece) {
    state_->busy = true;
    boost::asio::co_spawn(executor_, import.write(piece),
                          [s = state_](const std::exception_ptr&, result<void> written) {
                            s->outcome = std::move(written);
                            s->busy = false;
                            s->done.cancel();
                          });
  }
  /// How the last piece went; at once when there is none.
  awaitable<result<void>> finish() {
    const auto s = state_;
    while (s->busy) {
      boost::system::error_code woken;
      co_await s->done.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, woken));
    }
    co_return s->outcome;
  }

 private:
  struct state {
    explicit state(const boost::asio::any_io_executor& executor) : done(executor, transport::steady_time::max()) {}
    boost::asio::steady_timer done;
    result<void> outcome;
    bool busy = false;
  };
  std::shared_ptr<state> state_;
  boost::asio::any_io_executor executor_;
};

/// The body, to its end. Nothing of it is under way any more when this returns.
awaitable<result<void>> take_body(import_run& import, http_request& request) {
  const auto executor = co_await boost::asio::this_coro::executor;
  piece_under_way under_way(executor);
  std::vector<char> buffers[2] = {std::vector<char>(piece_bytes), std::vector<char>(piece_bytes)};
  for (std::size_t turn = 0;; turn = 1 - turn) {
    const auto got = co_await fill(request, buffers[turn]);
    const auto taken = co_await under_way.finish();
    if (!taken) co_return taken.error();
    if (!got) co_return got.error().with_context("import of " + import.wish.options.dataset);
    if (*got != 0) under_way.begin(import, {buffers[turn].data(), *got});
    if (*got < piece_bytes) break;
  }
  const auto last = co_await under_way.finish();
  co_return last;
}

/// What is to be said when all is well.
awaitable<result<std::string>> run(import_run& import, http_request& request) {
  auto& options = import.wish.options;
  bytes sample;
  bool whole = false;
  if (import.wish.infer) {
    auto read = co_await read_sample(request, whole);
    if (!read) co_return read.error();
    sample = std::move(*read);
    auto found = options.text.kind == format::text_kind::csv
                     ? format::infer_csv_schema(sample, whole, options.text.delimiter, options.text.header)
                     : format::infer_json_schema(sample, whole);
    if (!found) co_return found.error().with_context("finding out the schema");
    options.schema = std::move(*found);
  }
  auto started = co_await start(import.s, options);
  if (!started) co_return started.error();
  import.main = std::move(*started);
  if (!sample.empty()) {
    const auto taken = co_await import.write(sample);
    if (!taken) co_return taken.error();
  }
  if (!whole) {
    const auto taken = co_await take_body(import, request);
    if (!taken) co_return taken.error();
  }
  auto finished = co_await import.finish();
  co_return finished;
}

}  // namespace

awaitable<void> import_dataset(api_services& s, http_request& request, http_response& response) {
  auto wish = read_wish(request);
  if (!wish) co_return (void) co_await response.send_problem(wish.error());
  import_run import{s, std::move(*wish)};
  const auto done = co_await run(import, request);
  if (!done) {
    co_await import.abort();
    co_return (void) co_await response.send_problem(done.error());
  }
  const auto& name = import.wish.options.dataset;
  auto made = find_dataset(s, name);
  if (!made) {
    const error gone{errc::aborted, "dataset " + name + " was imported and deleted by somebody at once"};
    co_return (void) co_await response.send_problem(gone);
  }
  if (!done->empty()) made->notes.push_back(*done);
  const auto text = api::to_text(*made);
  (void)co_await response.send_json(text, 201);
}

}  // namespace troupe::node
