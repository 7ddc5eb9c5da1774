/// What a worker, in which a module's code runs, and its daemon say to each other. The first byte says which.
#include <support/codec_property.hpp>
#include <troupe/dataflow/worker_channel.hpp>

namespace troupe::fuzz {

using namespace dataflow;

void one_input(bytes_view input) {
  check_codec_of_one<worker_question, daemon_answer, task_order, task_outcome, attempt_result>(input);
}

std::vector<bytes> seeds() {
  auto made = seeds_of_each<worker_question, daemon_answer, task_order, task_outcome, attempt_result>();
  inputs_given page;
  for (std::size_t i = 0; i < inputs_per_page_max; ++i)
    i % 2 == 0 ? page.items.emplace_back(sampler(i + 1).make<segment_item>())
               : page.items.emplace_back(sampler(i + 1).make<block_item>());
  made.push_back('\1' + codec::encode(daemon_answer{page}));
  return made;
}

std::size_t memory_bytes_max(std::size_t input_bytes) { return memory_for(input_bytes); }

}  // namespace troupe::fuzz
