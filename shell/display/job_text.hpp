#pragma once
#include <string>
#include <troupe/api/jobs.hpp>

namespace troupe::shell {

/// «job 7 word_count: map 12/64 (4 running), reduce 0/8, 2 attempts lost».
std::string progress_text(const api::job& job);
/// «map  12 of 64 done, 4 running  [####      ]»: one line a stage, for `watch`.
std::string stages_text(const api::job& job);
/// «job 7 (word_count) succeeded: 1,234 records in, 56 out, 3.2 s; 2 attempts lost (0.8 task seconds done again)».
std::string stage_numbers_text(const api::job& job);
/// A plan for people: stages, what they read and write, and what was seen in the last run.
std::string plan_text(const api::job_plan& plan);
std::string summary_text(const api::job& job);
/// «job 7 (word_count) failed: node2, record 41 of corpus: what the exception said».
std::string failure_text(const api::job& job);

}  // namespace troupe::shell
