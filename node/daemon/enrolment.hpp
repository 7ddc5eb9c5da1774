#pragma once
#include <functional>
#include <string>
#include <troupe/api/security.hpp>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>
#include <vector>

#include "node/daemon/node_security.hpp"

namespace troupe::node {

/// What a node says when it asks for a certificate.
struct enrolment {
  member_id member;
  std::string token;                             ///< a join token, or the cluster's
  std::vector<std::string> seeds;                ///< addresses of nodes; those that cannot sign are passed over
  std::shared_ptr<const security::trust> trust;  ///< null: on this machine only
  bool patient = false;                          ///< asks again and again for half a minute; else once
};

/// Asks one node after the other until one signs. Blocks. `permission_denied` when the token
/// is not good; `not_found` when all of them are of a cluster without an authority; else `unavailable`.
result<api::join_answer> enrol(const enrolment& who, const std::string& request_pem);

/// A voter asks those that sign for the key of the cluster's authority, each once. Blocks.
result<std::string> ask_for_authority_key(const enrolment& who);

}  // namespace troupe::node
