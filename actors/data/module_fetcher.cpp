#include <actors/data/module_fetcher.hpp>
#include <actors/data/module_store.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

namespace troupe::data {

namespace asio = boost::asio;

void module_fetcher::fetch(const std::string& hash, std::vector<member_id> holders, reply then) {
  auto& waiting = waiting_[hash];
  if (waiting.size() >= waiting_max)
    return then(error{errc::resource_exhausted, "too many requests for module " + hash.substr(0, 12)});
  waiting.push_back(std::move(then));
  if (waiting.size() > 1) return;
  asio::co_spawn(
      context_->io,
      [self = shared_from_this(), hash, holders = std::move(holders)]() -> asio::awaitable<void> {
        auto got = co_await self->get(hash, holders);
        auto told = std::move(self->waiting_[hash]);
        self->waiting_.erase(hash);
        for (auto& one : told) one(got);
      },
      asio::detached);
}

asio::awaitable<result<std::filesystem::path>> module_fetcher::get(std::string hash, std::vector<member_id> holders) {
  auto& store = context_->parts.modules;
  auto here_pending = context_->disk.run([&store, hash]() -> result<bool> {
    auto path = store.path(hash);
    if (!path) return path.error();
    return store.has(hash);
  });
  auto here = co_await std::move(here_pending);
  if (!here) co_return here.error();
  if (*here) co_return store.path(hash);

  block_protocol::get_module request;
  request.hash = hash;
  std::string reasons;
  for (const auto holder : holders) {
    if (context_->is_self(holder)) continue;
    memory_sink sink(limits::http_body_bytes_max);
    auto came = co_await ask(context_, holder, block_protocol::frame_type::get_module, codec::encode(request), sink,
                             context_->request_deadline());
    if (came.outcome) {
      auto content = std::make_shared<bytes>(std::move(sink.data));
      auto stored_pending = context_->disk.run([&store, hash, content] { return store.put_verified(hash, *content); });
      auto stored = co_await std::move(stored_pending);
      if (stored) {
        metadata::module_held held;
        held.hash = hash;
        held.holder = context_->self();
        // Nobody waits for this: who does not know of this copy asks another holder.
        context_->parts.metadata.propose(std::move(held), request_id::random(),
                                         static_cast<std::uint32_t>(context_->options.request_time_max.count()),
                                         [](auto&&) {});
        co_return store.path(hash);
      }
      if (stored.error().code() != errc::corrupted) co_return stored.error();
      came.outcome = stored.error();
    }
    reasons += "; " + came.outcome.error().message();
  }
  co_return error{errc::unavailable, "module " + hash.substr(0, 12) + " can't be fetched from any holder" +
                                         (reasons.empty() ? std::string("; none is known") : reasons)};
}

}  // namespace troupe::data
