// Catch2 2 is header-only: its main is compiled here, once.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
