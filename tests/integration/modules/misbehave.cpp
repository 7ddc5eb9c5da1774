#include <sys/prctl.h>
#include <unistd.h>

#include <troupe/sdk.hpp>

#include <csignal>
#include <cstring>
#include <string>
#include <vector>

/// Counts words until it meets the word `poison`; then it does what the parameter `how` says.
struct poisoned_words : troupe::mapper<std::string_view, std::string_view, std::uint64_t> {
  void start(const troupe::parameters& parameters, troupe::context& context) {
    how = parameters.text("how");
    where = &context;
    if (how == "throw_at_once") throw troupe::failure("thrown before any record");
  }

  void map(std::string_view line, emitter& emit) {
    for (auto word : troupe::words(line)) {
      if (word == "poison") misbehave(emit);
      emit(word, 1);
    }
  }

  void misbehave(emitter& emit) {
    if (how == "throw") throw troupe::failure("the word poison was met");
    if (how == "segfault") {
      volatile char* nowhere = nullptr;
      *nowhere = 1;  // NOLINT: that is what it is for
    }
    if (how == "leave_a_process") {
      if (::fork() == 0) {
        ::prctl(PR_SET_NAME, "left_behind");
        for (;;) ::pause();
      }
      throw troupe::failure("it left a process behind");
    }
    if (how == "hang")
      for (volatile bool forever = true; forever;) {
      }
    if (how == "eat") {
      std::vector<std::string> eaten;
      for (;;) {
        eaten.emplace_back(std::size_t{8} << 20, 'x');
        emit(std::string_view(eaten.back()).substr(0, 1), 1);
      }
    }
    if (how == "first_only" && where->attempt() == 1) std::raise(SIGSEGV);
  }

  std::string how;
  troupe::context* where = nullptr;
};

TROUPE_JOB(misbehave,
           troupe::read_lines() | troupe::map<poisoned_words>() | troupe::fold_by_key<troupe::sum>() |
               troupe::write("word", "count"),
           troupe::parameter("how", "throw, segfault, hang …"));
