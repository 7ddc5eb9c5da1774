#pragma once
#include <cstddef>
#include <troupe/dataflow/worker_control.hpp>

namespace troupe::dataflow {

/// A disk error under a mapped file arrives as SIGBUS in the middle of user code. This ends the worker with
/// worker_exit_input_lost if the address lies in the mapping that is being read, so that the input is blamed and not
/// the module; any other SIGBUS stays what it is. One task thread per process.
void install_sigbus_guard(worker_control& control);
/// The mapping being read from now on; nullptr: none.
void guard_mapping(const void* data, std::size_t size) noexcept;

}  // namespace troupe::dataflow
