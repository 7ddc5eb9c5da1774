#pragma once
#include <boost/json/array.hpp>

namespace troupe::shell {

class session;

/// Says on stderr when the loss of one node would end all changes of the cluster's metadata: with two nodes there is
/// one voter, and a majority of two would be both. One node alone is no surprise to anybody.
void say_fail_over(session& s, const boost::json::array& nodes);

/// Says on stderr whose certificates end within 30 days: a node renews its own in time, so something is in its way.
void say_certificates(session& s, const boost::json::array& nodes);

}  // namespace troupe::shell
