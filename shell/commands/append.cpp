#include <algorithm>
#include <charconv>
#include <map>
#include <shell/commands/commands.hpp>
#include <shell/commands/log_commands.hpp>
#include <shell/commands/record_batches.hpp>
#include <shell/commands/records.hpp>
#include <shell/display/progress.hpp>
#include <shell/display/table.hpp>
#include <shell/interrupts.hpp>
#include <shell/session.hpp>
#include <troupe/api/logs.hpp>
#include <troupe/api/schema_text.hpp>
#include <troupe/base/text.hpp>
#include <troupe/transport/problem.hpp>

namespace troupe::shell {
namespace json = boost::json;
using namespace std::chrono_literals;
namespace {

constexpr auto node_time_max = 4s;         ///< for a node to make a batch durable, before another is asked
constexpr auto answer_time_max = 5s;       ///< the same with its answer
constexpr auto append_patience_max = 60s;  ///< without any progress
constexpr int first_pause_ms = 50, pause_ms_max = 1'000;

/// Appends batch after batch. Every batch has its sequence and is sent until it is durable, so that neither a node that
/// dies nor an answer that is lost makes a gap or a duplicate.
class appender {
 public:
  appender(session& s, api_client& client, std::string name)
      : session_(s), client_(client), name_(std::move(name)), line_(s) {}

  outcome<void> send(const record_batch& batch) {
    ++sequence_;
    const auto begun = std::chrono::steady_clock::now();
    std::string why;
    for (int pause = first_pause_ms;; pause = std::min(pause * 2, pause_ms_max)) {
      TROUPE_TRY(const bool sent, try_once(batch, answer_time_max, why));
      if (sent) return done();
      if (interrupts::pending()) return settle(batch);
      if (std::chrono::steady_clock::now() - begun > append_patience_max)
        return failure(status::failed, "the records from line " + std::to_string(batch.first_line) +
                                           " on are not durable after a minute: " + why + "; " + what_is_durable());
      line_.show("appending to " + name_ + ": waiting: " + why);
      interrupts::sleep_ms(pause);
    }
  }

  void show_progress(std::optional<std::uint64_t> bytes_total) {
    if (!line_.due()) return;
    auto text = "appending to " + name_ + ": " + format_count(records_) + " records, " + format_bytes(bytes_);
    if (bytes_total.value_or(0) != 0)
      text += " of " + format_bytes(*bytes_total) + " (" + std::to_string(bytes_ * 100 / *bytes_total) + " %)";
    line_.show(text + ", " + format_bytes(per_second(bytes_)) + "/s");
  }

  void finish() {
    line_.clear();
    session_.say("appended " + format_count(records_) + (records_ == 1 ? " record (" : " records (") +
                 format_bytes(bytes_) + ") to " + name_ + " in " + format_duration(line_.seconds()) + ", " +
                 format_count(per_second(records_)) + " records/s");
    if (session_.settings.output == output_format::table) return;
    json::array parts;
    for (const auto& [partition, part] : parts_)
      parts.push_back(
          json::object{{"partition", partition}, {"first_offset", part.first_offset}, {"records", part.records}});
    show_object(session_,
                json::object{{"dataset", name_},
                             {"records", records_},
                             {"bytes", bytes_},
                             {"batches", sequence_},
                             {"producer", to_string(producer_)},
                             {"partitions", std::move(parts)}},
                {{"dataset", "dataset"},
                 {"records", "records"},
                 {"bytes", "bytes"},
                 {"batches", "batches"},
                 {"producer", "producer"}});
  }

  [[nodiscard]] std::string what_is_durable() const {
    return records_ == 0
               ? "nothing was appended"
               : format_count(records_) + (records_ == 1 ? " record is" : " records are") + " durable in " + name_;
  }
  void clear_line() { line_.clear(); }

 private:
  struct part {
    std::uint64_t first_offset = 0;
    std::uint64_t records = 0;
  };

  [[nodiscard]] std::uint64_t per_second(std::uint64_t count) const {
    return static_cast<std::uint64_t>(static_cast<double>(count) / std::max(line_.seconds(), 0.001));
  }
  static std::string to_string(const uuid& id) { return id.to_string(); }

  /// True: all of it is durable. False: that is not known, `why` says why; the same again completes it.
  outcome<bool> try_once(const record_batch& batch, std::chrono::milliseconds time_max, std::string& why) {
    auto request = request_for(
        "POST", dataset_path(name_) + "/records?time_max_ms=" +
                    std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(node_time_max).count()));
    request.content_type = "application/octet-stream";
    request.fields = {{api::producer_field, producer_.to_string()}, {api::sequence_field, std::to_string(sequence_)}};
    request.body = batch.lines;
    request.read_time_max = time_max;
    const auto answer = client_.send_repeatable(std::move(request));
    if (!answer) {
      const auto& f = answer.error();
      why = f.message;
      if (f.status == status::no_cluster || f.status == status::interrupted || f.unavailable) return false;
      return failure(f.status, f.message + "; " + what_is_durable());
    }
    if (answer->ok()) {
      TROUPE_TRY(const auto value, api::detail::parse(answer->body, "answer"));
      TROUPE_TRY(const auto parts, api_client::typed<std::vector<api::appended_part>>(value, "answer"));
      count(batch, parts);
      return true;
    }
    const auto e = transport::problem_error(answer->status, answer->field("content-type"), answer->body);
    why = e.message();
    const bool passing = answer->status == 503 || answer->status == 504 || answer->status == 429 ||
                         e.code() == errc::failed_precondition;
    if (passing) return false;
    return failure(status::failed, in_input(batch, e.message()) + "; " + what_is_durable());
  }

  void count(const record_batch& batch, const std::vector<api::appended_part>& parts) {
    bytes_ += batch.lines.size();
    for (const auto& p : parts) {
      records_ += p.count;
      const auto at = parts_.try_emplace(p.partition.value, part{p.first_offset.value, 0}).first;
      at->second.records += p.count;
    }
  }

  /// The node counts lines from the beginning of the batch, people from the beginning of their file.
  static std::string in_input(const record_batch& batch, const std::string& message) {
    constexpr std::string_view before = "line ";
    if (!message.starts_with(before)) return message;
    std::uint64_t line = 0;
    const auto [rest, failed] = std::from_chars(message.data() + before.size(), message.data() + message.size(), line);
    if (failed != std::errc{} || line == 0) return message;
    return std::string(before) + std::to_string(batch.first_line + line - 1) +
           message.substr(static_cast<std::size_t>(rest - message.data()));
  }

  /// After Ctrl-C: the batch that was on its way is asked for once more, so that the user knows where it stands.
  outcome<void> settle(const record_batch& batch) {
    line_.clear();
    client_.ignore_interrupts();
    std::string why;
    const auto sent = try_once(batch, answer_time_max, why);
    session_.forget_client();
    const bool known = sent && *sent;
    return failure(status::interrupted,
                   "interrupted: " + what_is_durable() +
                       (known ? "; nothing after them was sent"
                              : "; whether the " + format_count(batch.records) + " from line " +
                                    std::to_string(batch.first_line) + " on are, is not known: " + why));
  }

  session& session_;
  api_client& client_;
  std::string name_;
  progress line_;
  uuid producer_ = uuid::random();
  std::uint64_t sequence_ = 0;
  std::uint64_t records_ = 0;
  std::uint64_t bytes_ = 0;
  std::map<std::uint32_t, part> parts_;
};

outcome<void> append(session& s, const arguments& given) {
  const auto& name = given.words[0];
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto about, client->get_as<api::dataset>(dataset_path(name), "dataset"));
  TROUPE_TRY(auto source, record_batches::open(given.get("--from", "-")));
  if (source.is_terminal()) {
    const auto how = about.format == data_format::records
                         ? "JSON objects (" + api::schema_text(schema{about.schema}) + "), one a line"
                     : about.format == data_format::bytes ? std::string("JSON strings of base64, one a line")
                                                          : std::string("lines");
    s.say("type " + how + "; Ctrl-D ends");
  }
  appender to(s, *client, name);
  for (;;) {
    auto batch = source.next();
    if (!batch) {
      to.clear_line();
      if (batch.error().code() == errc::cancelled)
        return failure(status::interrupted, "interrupted: " + to.what_is_durable());
      return failure(status::failed, batch.error().message() + "; " + to.what_is_durable());
    }
    if (batch->records == 0) break;
    TROUPE_TRY_VOID(to.send(*batch));
    to.show_progress(source.bytes_total());
  }
  to.finish();
  return done();
}

}  // namespace

command append_command() {
  return {
      .name = "append",
      .group = "data",
      .usage = "append NAME",
      .summary = "Appends records to a dataset: what is typed, piped, or in a file",
      .help =
          "A record is a line of text, or a line of JSON where the dataset has a schema. Every batch has a number: "
          "one that has to be sent again is not there twice. What is said to be appended is on the disks of all "
          "replicas. Ctrl-C ends it and says what is durable. In a pipe: tail -f access.log | troupe append clicks.",
      .example = "append clicks\nappend clicks --from yesterday.log",
      .options = {{"--from", "FILE", "instead of standard input"}},
      .words_min = 1,
      .words_max = 1,
      .completes = word_kind::dataset,
      .run = append};
}

}  // namespace troupe::shell
