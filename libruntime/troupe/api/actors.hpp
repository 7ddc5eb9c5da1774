#pragma once
#include <troupe/api/json.hpp>
#include <troupe/api/list.hpp>

namespace troupe::api {

/// GET /api/v1/actors, an item: parents before their children
struct actor {
  std::string id;                     ///< unique in the cluster
  std::optional<std::string> parent;  ///< id; null at the top
  std::string name;                   ///< «job_supervisor/7», «mapper/7.0.3.1»
  std::string kind;  ///< «monitor», «job_supervisor», «node_supervisor», «worker», «mapper», «reducer»
  std::string node;  ///< name of the node it runs on
  std::optional<std::uint32_t> pid;  ///< of its process
  std::string state;                 ///< a word: «running», «idle», «waiting», «restarting»
  std::uint64_t restarts = 0;
  std::string detail;  ///< a few words for people; may be empty
};
BOOST_DESCRIBE_STRUCT(actor, (), (id, parent, name, kind, node, pid, state, restarts, detail))

/// GET /api/v1/events?after=&limit=&wait_ms=, an item; `after` is the id of the last one seen, the oldest comes first
struct event {
  std::uint64_t id = 0;
  timestamp time;
  std::string kind;  ///< «member_dead», «attempt_lost»…
  std::string node;
  std::string text;  ///< a sentence
  std::map<std::string, std::string> fields;
};
BOOST_DESCRIBE_STRUCT(event, (), (id, time, kind, node, text, fields))

}  // namespace troupe::api
