#pragma once
#include <actors/messages.hpp>
#include <optional>
#include <troupe/metadata/state.hpp>

namespace troupe::actors {

/// What a change of metadata means to people: a member joined, is suspect, died or left; a job was accepted or has
/// ended. Nothing for the others, and for commands that were refused. `s` is the state just after. Every node says it
/// of what it applies, so that each journal has it.
std::optional<message::happening> describe_change(const metadata::command& what,
                                                  const result<metadata::response>& answer, const metadata::state& s);

/// Data that has come to be with fewer copies than were asked for: an import, or the output of a job.
std::vector<message::happening> describe_shortages(const metadata::command& what,
                                                   const result<metadata::response>& answer, const metadata::state& s);

}  // namespace troupe::actors
