#pragma once
#include <caf/actor.hpp>
#include <caf/meta/type_name.hpp>
#include <caf/type_id.hpp>
#include <cstdint>
#include <string>

/// What a worker's host actor and the daemon's pool actor say to each other; append only. `token` names the worker: it
/// came with worker_hello. Bodies are codec bytes of the structs in troupe/dataflow/worker_channel.hpp, so that nothing
/// with a type of its own crosses CAF.
namespace troupe::message {

/// Worker → daemon, once: it is up.
struct worker_ready {
  std::uint64_t token = 0;
  caf::actor host;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, worker_ready& m) {
  return f(caf::meta::type_name("worker_ready"), m.token, m.host);
}

/// Daemon → worker: dataflow::task_order.
struct run_task {
  std::string order;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, run_task& m) {
  return f(caf::meta::type_name("run_task"), m.order);
}

/// Worker → daemon: dataflow::task_outcome.
struct task_ended {
  std::uint64_t token = 0;
  std::string outcome;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, task_ended& m) {
  return f(caf::meta::type_name("task_ended"), m.token, m.outcome);
}

/// Worker → daemon: a line that the module logged.
struct task_logged {
  std::uint64_t token = 0;
  std::string line;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, task_logged& m) {
  return f(caf::meta::type_name("task_logged"), m.token, m.line);
}

}  // namespace troupe::message

CAF_BEGIN_TYPE_ID_BLOCK(troupe_worker, first_custom_type_id)
CAF_ADD_TYPE_ID(troupe_worker, (troupe::message::worker_ready))
CAF_ADD_TYPE_ID(troupe_worker, (troupe::message::run_task))
CAF_ADD_TYPE_ID(troupe_worker, (troupe::message::task_ended))
CAF_ADD_TYPE_ID(troupe_worker, (troupe::message::task_logged))
CAF_END_TYPE_ID_BLOCK(troupe_worker)
