#include <troupe/metadata/state.hpp>
