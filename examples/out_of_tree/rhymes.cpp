#include <troupe/sdk.hpp>

/// Which words end alike? The last three letters, and how many different words have them.
constexpr auto words = troupe::read_lines() | troupe::flat_map<std::string_view>([](std::string_view line, auto& emit) {
                         for (auto word : troupe::words(line))
                           if (word.size() >= 3) emit(word);
                       });

TROUPE_JOB(rhymes, words | troupe::distinct() | troupe::map([](std::string_view word) {
                     return std::pair(word.substr(word.size() - 3), std::uint64_t{1});
                   }) | troupe::fold_by_key<troupe::sum>() |
                       troupe::sort_by_descending([](const auto& ending) { return ending.second; }) |
                       troupe::write("ending", "words"));
