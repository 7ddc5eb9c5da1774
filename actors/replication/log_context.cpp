#include <actors/replication/log_context.hpp>
#include <boost/asio/post.hpp>
#include <troupe/telemetry/journal.hpp>
#include <troupe/telemetry/log.hpp>

namespace troupe::logs {

namespace {
constexpr unsigned disk_threads = 3;              // two may wait for syncs while another writes or reads
constexpr std::size_t disk_queued_max = 262'144;  // one task for each open segment at most, and some
constexpr std::size_t reads_queued_max = 4096;
}  // namespace

log_context::log_context(log_plane_parts p, log_plane_options o)
    : parts(std::move(p)),
      options(o),
      self{parts.self.member, parts.self.incarnation},
      io(1),
      disk(disk_threads, disk_queued_max),
      reading(1, reads_queued_max),
      checking(1, reads_queued_max),
      count{
          parts.metrics.get_counter("troupe_log_appended_records_total",
                                    "Records that this node's leaders acknowledged"),
          parts.metrics.get_counter("troupe_log_appended_bytes_total", "Bytes of those records"),
          parts.metrics.get_counter("troupe_log_appends_refused_total", "Parts of appends that failed or were refused"),
          parts.metrics.get_counter("troupe_log_read_records_total", "Records of logs given to readers"),
          parts.metrics.get_counter("troupe_log_take_overs_total", "Partitions that this node began to lead"),
          parts.metrics.get_counter("troupe_log_copies_made_total", "Copies of segments made here by repair"),
          parts.metrics.get_counter("troupe_log_copied_bytes_total", "Bytes of those copies"),
          parts.metrics.get_counter("troupe_log_copies_checked_total", "Copies of segments read and checked here")} {}

replication::moment log_context::now() const {
  using namespace std::chrono;
  return {time_point_cast<nanoseconds>(steady_clock::now()),
          duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count()};
}

std::string log_context::name_of(member_id id) const {
  return parts.metadata.read([&](const metadata::state& s) {
    const auto* m = s.find_member(id);
    return m != nullptr ? m->name : "member " + id.value.short_string();
  });
}

void log_context::report(const std::string& kind, const std::string& what, bool alarm) {
  if (alarm)
    parts.log.warning("log", what);
  else
    parts.log.info("log", what);
  parts.journal.append(kind, name_of(self.member), what);
}

void log_context::propose(metadata::command what, std::chrono::milliseconds time_max,
                          std::function<void(result<metadata::response>)> then) {
  parts.metadata.propose(std::move(what), request_id::random(), static_cast<std::uint32_t>(time_max.count()),
                         [weak = weak_from_this(), then = std::move(then)](result<metadata::response> answer) {
                           const auto c = weak.lock();
                           if (!c || c->stopping) return;
                           boost::asio::post(c->io, [then, answer = std::move(answer)] { then(answer); });
                         });
}

}  // namespace troupe::logs
