/// Messages between nodes' actors, as CAF hands their bytes over. The first byte says which.
#include <actors/messages.hpp>
#include <support/codec_property.hpp>

namespace troupe::fuzz {

using namespace message;

void one_input(bytes_view input) {
  check_codec_of_one<start_attempt, cancel_attempt, attempt_started, attempt_finished, attempt_failed, report_taken,
                     node_report, node_report_wanted, take_over_job, job_taken_over, log_lines, job_status_query,
                     job_status, job_log_query, job_log_page, tree_query, tree_page, happening, withdraw_attempt,
                     attempt_withdrawn, prefetch_inputs>(input);
}

std::vector<bytes> seeds() {
  return seeds_of_each<start_attempt, cancel_attempt, attempt_started, attempt_finished, attempt_failed, report_taken,
                       node_report, node_report_wanted, take_over_job, job_taken_over, log_lines, job_status_query,
                       job_status, job_log_query, job_log_page, tree_query, tree_page, happening, withdraw_attempt,
                       attempt_withdrawn, prefetch_inputs>();
}

std::size_t memory_bytes_max(std::size_t input_bytes) { return memory_for(input_bytes); }

}  // namespace troupe::fuzz
