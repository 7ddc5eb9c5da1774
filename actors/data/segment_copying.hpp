#pragma once
#include <actors/data/hosted_segment.hpp>

namespace troupe::data {

/// Makes a copy of a sealed segment on this node by reading it from another member; `corrupted` when the digest is not
/// the one that was asked for. A file of that segment that is here already stays as it is until the copy is whole.
boost::asio::awaitable<result<void>> pull_copy(context_ptr c, block_protocol::pull_segment what);

/// Asks `target` (this node or another) to do that.
boost::asio::awaitable<result<void>> ask_to_pull(context_ptr c, member_id target, block_protocol::pull_segment what);

}  // namespace troupe::data
