// Everything that tests of real processes share.
#pragma once

#include "support/calls.hpp"
#include "support/descriptors.hpp"
#include "support/files.hpp"
#include "support/machine.hpp"
#include "support/memory.hpp"
#include "support/mounts.hpp"
#include "support/processes.hpp"
#include "support/raw_maps.hpp"
#include "support/records.hpp"
#include "support/run.hpp"
#include "support/skipping.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/procmap.hpp>
