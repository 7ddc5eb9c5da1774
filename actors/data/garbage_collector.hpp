#pragma once
#include <actors/data/context.hpp>
#include <actors/data/module_store.hpp>
#include <map>

namespace troupe::data {

/// Removes segment and module files that metadata does not need (protocols.md, section 7). Files are listed first and
/// metadata is asked after that, through a barrier: ids are allocated before files exist, so a listed file that
/// metadata does not know is not one that is about to be known. What metadata is seen to let go of goes at once; what
/// it never knew is kept for a while: somebody may have mixed up directories. On the I/O thread.
class garbage_collector {
 public:
  explicit garbage_collector(context_ptr c) : context_(std::move(c)) {}

  /// One look; the number of files removed. `unavailable` without a linearizable read: nothing is removed then.
  boost::asio::awaitable<result<std::size_t>> collect();

 private:
  enum class verdict { needed, let_go, unknown };
  [[nodiscard]] verdict judge(segment_id id) const;
  [[nodiscard]] verdict judge(const std::string& module_hash) const;
  /// Whether it is to be removed now; notes since when it is unknown.
  template <class Key>
  bool is_due(verdict v, const Key& key, std::map<Key, transport::steady_time>& unknown_since) const;

  context_ptr context_;
  bool running_ = false;
  std::map<segment_id, transport::steady_time> unknown_segments_;
  std::map<std::string, transport::steady_time> unknown_modules_;
  std::set<std::string> known_modules_;  ///< that metadata was seen to know since this process began: when it does no
                                         ///< more, they were let go
};

}  // namespace troupe::data
