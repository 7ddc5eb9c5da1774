#pragma once
#include <boost/describe/class.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <troupe/base/limits.hpp>
#include <troupe/base/result.hpp>
#include <vector>

namespace troupe::telemetry {

/// The wall clock, in milliseconds since 1970 (UTC). For people to read: nothing is decided by it.
std::int64_t now_unix_ms();

/// Something that happened and that a person may want to know afterwards. What `events` shows.
struct event {
  std::uint64_t id = 0;  ///< from 1, without gaps, of this node's journal
  std::int64_t time_unix_ms = 0;
  std::string kind;  ///< snake_case past event: «member_lost», «worker_died», «job_finished»
  std::string node;  ///< name of the member it is about
  std::string text;  ///< one sentence for people
  std::map<std::string, std::string> fields;  ///< the same for programs: job, task, attempt, reason…
  friend bool operator==(const event&, const event&) = default;
};
BOOST_DESCRIBE_STRUCT(event, (), (id, time_unix_ms, kind, node, text, fields))

class record_keeper;

/// The last `capacity` events of one node, in memory, and where `keep` was called also in a file. Any thread.
class journal {
 public:
  explicit journal(std::size_t capacity = limits::events_kept_max);
  ~journal();
  journal(const journal&) = delete;
  journal& operator=(const journal&) = delete;

  /// Reads what an earlier life left in that file and goes on from there: ids too. From now on every event is given to
  /// `keeper`, which must outlive this. Before the first append.
  result<void> keep(record_keeper& keeper, const std::string& path);

  /// Stamps the wall clock's time and the next id, which it returns. Texts above 4 KiB are cut.
  std::uint64_t append(std::string_view kind, std::string_view node, std::string_view text,
                       std::map<std::string, std::string> fields = {});

  /// Events with an id above `id`, oldest first, at most `limit`. What has been forgotten is skipped: the first id
  /// tells.
  [[nodiscard]] std::vector<event> after(std::uint64_t id, std::size_t limit) const;
  [[nodiscard]] std::uint64_t last_id() const;

  /// Calls `f` after every append, on the appending thread, outside the journal's lock; it must only hand over. Until
  /// the returned function is called; when that returns, `f` is not running and won't be again (so never call it from
  /// within `f`).
  [[nodiscard]] std::function<void()> observe(std::function<void(const event&)> f);

 private:
  struct observers;
  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::deque<event> events_;
  std::uint64_t next_id_ = 1;
  record_keeper* keeper_ = nullptr;
  std::string path_;
  std::shared_ptr<observers> observers_;
};

}  // namespace troupe::telemetry
