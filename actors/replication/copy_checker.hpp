#pragma once
#include <actors/replication/log_context.hpp>
#include <actors/replication/log_links.hpp>

namespace troupe::logs {

/// Reads whole copies and says what is wrong with them: those that lie here for others who ask, and all of a dataset
/// for `verify`. On the log thread.
class copy_checker : public std::enable_shared_from_this<copy_checker> {
 public:
  copy_checker(log_context_ptr c, std::shared_ptr<log_links> links)
      : context_(std::move(c)), links_(std::move(links)) {}

  /// A copy that lies here, by the checking thread.
  void check(checked_copy what, std::function<void(check_verdict)> then);
  void serve(shared_bytes call, log_links::answer then);
  /// Whether another member's copy is whole; an error when it can't be asked, or what is wrong with the copy.
  boost::asio::awaitable<result<void>> check_at(member_id where, checked_copy what, transport::steady_time deadline);
  /// `ends`: how far open segments are acknowledged, for those whose leader said it.
  boost::asio::awaitable<result<verify_report>> verify(std::string dataset, std::map<segment_id, record_offset> ends,
                                                       transport::steady_time deadline);

 private:
  struct asked_copy {
    checked_copy what;
    std::size_t segment = 0;  ///< which of the report
    log_index made;           ///< metadata::segment::made, before the look
  };
  struct verification;
  boost::asio::awaitable<void> verify_member(std::shared_ptr<verification> v, member_id id,
                                             std::vector<asked_copy> copies);

  log_context_ptr context_;
  std::shared_ptr<log_links> links_;
};

}  // namespace troupe::logs
