#pragma once
#include <actors/data/block_client.hpp>
#include <filesystem>
#include <map>

namespace troupe::data {

/// Gets modules from other members; requests for one module share one fetch. On the I/O thread.
class module_fetcher : public std::enable_shared_from_this<module_fetcher> {
 public:
  explicit module_fetcher(context_ptr c) : context_(std::move(c)) {}
  using reply = std::function<void(result<std::filesystem::path>)>;
  void fetch(const std::string& hash, std::vector<member_id> holders, reply then);

 private:
  static constexpr std::size_t waiting_max = 10'000;
  boost::asio::awaitable<result<std::filesystem::path>> get(std::string hash, std::vector<member_id> holders);

  context_ptr context_;
  std::map<std::string, std::vector<reply>> waiting_;
};

}  // namespace troupe::data
