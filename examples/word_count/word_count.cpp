#include <troupe/sdk.hpp>

/// How often each word occurs. Words are what stands between bytes <= 0x20.
struct split_words : troupe::mapper<std::string_view, std::string_view, std::uint64_t> {
  void map(std::string_view line, emitter& emit) {
    for (auto word : troupe::words(line)) emit(word, 1);
  }
};

TROUPE_JOB(word_count, troupe::read_lines() | troupe::map<split_words>() | troupe::fold_by_key<troupe::sum>() |
                           troupe::write("word", "count"));
