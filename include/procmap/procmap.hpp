// Everything, but for what is asked for by name: bridges to other libraries' types each have a header of their own.
#pragma once

#include <procmap/maps.hpp>
