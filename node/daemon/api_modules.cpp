#include <fcntl.h>
#include <unistd.h>

#include <actors/data/module_store.hpp>
#include <filesystem>
#include <troupe/base/sha256.hpp>
#include <troupe/base/text.hpp>
#include <troupe/modules/inspect.hpp>

#include "node/daemon/api_paging.hpp"
#include "node/daemon/api_services.hpp"
#include "node/daemon/shapes.hpp"

namespace troupe::node {
namespace {

using boost::asio::awaitable;
using transport::http_access;
using transport::http_request;
using transport::http_response;
using namespace std::chrono_literals;

/// Writes the file under a name of its own, asks a child process what is in it (a module's code never runs in a
/// daemon), and keeps it when it is sound.
result<metadata::module_info> examine_and_keep(const api_services& s, const std::string& name, const bytes& content) {
  const auto path = s.scratch + "/" + random_hex(8) + ".so";
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return error::from_errno("write", path, errno);
  std::size_t written = 0;
  int why = 0;
  while (written < content.size() && why == 0) {
    const auto n = ::write(fd, content.data() + written, content.size() - written);
    if (n < 0 && errno != EINTR) why = errno;
    if (n > 0) written += static_cast<std::size_t>(n);
  }
  ::close(fd);
  const auto remove = [&] { ::unlink(path.c_str()); };
  if (why != 0) {
    remove();
    return error::from_errno("write", path, why);
  }
  auto description = modules::inspect(s.worker_program, path, 20s);
  remove();
  if (!description) {
    // The user knows the module by its own name, not by that of our scratch file.
    auto message = description.error().message();
    for (std::size_t at; (at = message.find(path)) != std::string::npos;)
      message.replace(at, path.size(), name + ".so");
    return error{description.error().code(), message};
  }
  metadata::module_info info;
  info.name = name;
  info.abi = description->abi;
  info.size_bytes = content.size();
  info.holders = {s.self};
  for (auto& j : description->jobs) {
    info.jobs.push_back({std::move(j.name),
                         j.input_format,
                         std::move(j.input_schema),
                         j.output_format,
                         std::move(j.output_schema),
                         j.stages,
                         std::move(j.shape),
                         {},
                         {},
                         {}});
    for (auto& output : j.outputs)
      info.jobs.back().outputs.push_back({std::move(output.name), std::move(output.schema), output.branches});
    if (j.parameters) {
      auto& taken = info.jobs.back().parameters.emplace();
      for (auto& p : *j.parameters) taken.push_back({std::move(p.name), std::move(p.about)});
    }
    for (auto& input : j.inputs) info.jobs.back().inputs.push_back({input.format, std::move(input.schema)});
  }
  TROUPE_TRY(info.hash, s.modules.put(content));
  return info;
}

awaitable<void> load(api_services& s, http_request& request, http_response& response) {
  const std::string name(request.query("name").value_or(""));
  if (const auto good = check_name("module", name); !good)
    co_return (void) co_await response.send_problem(good.error());
  auto content = co_await request.read_body();
  if (!content) co_return (void) co_await response.send_problem(content.error());
  // Named, not written into the co_await: g++ 12 destroys such temporaries twice.
  auto examine = [&s, name, content = std::move(*content)] { return examine_and_keep(s, name, content); };
  auto info = co_await run_blocking<metadata::module_info>(s, std::move(examine), 30s);
  if (!info) co_return (void) co_await response.send_problem(info.error());
  const auto hash = info->hash;
  metadata::command command = metadata::load_module{std::move(*info)};
  const auto loaded = co_await propose(s, std::move(command));
  if (!loaded) co_return (void) co_await response.send_problem(loaded.error());
  const auto shown = s.metadata.read([&](const metadata::state& state) -> std::optional<api::module_info> {
    const auto* m = state.find_module(hash);
    if (m == nullptr) return std::nullopt;
    return to_api(state, *m);
  });
  if (!shown)
    co_return (void) co_await response.send_problem(
        error{errc::aborted, "module " + name + " was loaded and deleted by somebody at once"});
  (void)co_await response.send_json(api::to_text(*shown), 201);
}

awaitable<void> list_modules(api_services& s, http_request& request, http_response& response) {
  if (const auto fresh = co_await catch_up(s, request); !fresh)
    co_return (void) co_await response.send_problem(fresh.error());
  const auto page = make_page<api::module_info>(request, [&](const std::string& after, auto take) {
    s.metadata.read([&](const metadata::state& state) {
      std::map<std::string, const metadata::module_info*>
          by_key;  // several loads of one name: the newest is what `run` takes, all are shown
      for (const auto& m : state.modules()) by_key.emplace(m.name + "@" + m.hash, &m);
      for (auto at = by_key.upper_bound(after); at != by_key.end(); ++at)
        if (!take(at->first, to_api(state, *at->second))) break;
    });
  });
  if (!page) co_return (void) co_await response.send_problem(page.error());
  (void)co_await response.send_json(api::to_text(*page));
}

awaitable<void> remove_module(api_services& s, http_request& request, http_response& response) {
  metadata::command command = metadata::delete_module{std::string(request.parameter("name"))};
  const auto gone = co_await propose(s, std::move(command));
  if (!gone) co_return (void) co_await response.send_problem(gone.error());
  (void)co_await response.send_empty();
}

}  // namespace

void add_module_routes(transport::http_router& router, api_services& s) {
  router.get("/api/v1/modules", [&s](auto& in, auto& out) { return list_modules(s, in, out); });
  router.post("/api/v1/modules", http_access::submitter, [&s](auto& in, auto& out) { return load(s, in, out); });
  router.del("/api/v1/modules/{name}", http_access::submitter,
             [&s](auto& in, auto& out) { return remove_module(s, in, out); });
}

}  // namespace troupe::node
