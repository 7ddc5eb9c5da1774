#pragma once
#include <troupe/transport/connection.hpp>

namespace troupe::transport {

/// A plain descriptor (one end of a socketpair; non-blocking, close-on-exec) for what goes encrypted through `stream`:
/// for code that knows descriptors only. The pump runs on the stream's executor and keeps the stream; when either end
/// closes, it closes the other. Its buffers (64 KiB a direction) are its limit: who reads slowly is written to slowly.
result<int> start_pump(connection stream);

}  // namespace troupe::transport
