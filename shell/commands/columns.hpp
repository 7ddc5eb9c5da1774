#pragma once
#include <shell/display/table.hpp>

/// The columns of what more than one word shows.
namespace troupe::shell {

inline const std::vector<column> node_columns{
    {"NAME", "name"},         {"STATE", "state"},
    {"ROLE", "role"},         {"DRAINS", "draining"},
    {"ADDRESS", "address"},   {"PID", "pid"},
    {"START", "incarnation"}, {"CORES", "cores"},
    {"SLOTS", "slots"},       {"MEMORY", "memory_bytes", shown_as::bytes},
    {"VERSION", "version"},   {"WHY", "state_reason"}};  // a sentence: nothing stands behind it

inline const std::vector<column> job_columns{{"JOB", "id"},
                                             {"NAME", "name"},
                                             {"STATE", "state"},
                                             {"INPUTS", "inputs", shown_as::list},
                                             {"OUTPUTS", "outputs", shown_as::list},
                                             {"TASKS", "tasks.total"},
                                             {"DONE", "tasks.done"},
                                             {"LOST", "lost_attempts"},
                                             {"STARTED", "started_at", shown_as::time},
                                             {"FINISHED", "finished_at", shown_as::time}};

}  // namespace troupe::shell
