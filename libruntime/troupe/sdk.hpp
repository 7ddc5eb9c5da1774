#pragma once
/// What a module includes. See examples/ for whole modules and sdk/README.md for where things are.
#include <troupe/sdk/job.hpp>
#include <troupe/sdk/words.hpp>
