#include <cstring>
#include <troupe/modules/inspect.hpp>

/// What troupe-worker does with --inspect, and nothing else.
int main(int argc, char** argv) {
  return argc == 3 && std::strcmp(argv[1], "--inspect") == 0 ? troupe::modules::inspect_main(argv[2]) : 2;
}
