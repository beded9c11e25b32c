// The main function, which is also that of the program executed in shared_memory.cpp: it maps a file and waits.
#include "workers.hpp"
#include "fuse_server.hpp"
#include "programs.hpp"
#include "../support/mounts.hpp"
#include "../support/processes.hpp"
#include "../support/run.hpp"

#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <string_view>

using namespace support;

int main(int argc, char** argv) {
    if (argc == 4 && std::string_view{argv[0]} == "--map-instead") {  // see start_sharing()
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ensure(own_namespace() &&
                   (std::strcmp(argv[1], argv[2]) == 0 || ::mount(argv[1], argv[2], nullptr, MS_BIND, nullptr) == 0),
               "namespace");
        ensure(load(argv[3], false, common_place) > 0, "map");
        ::alarm(60);
        for (;;) ::pause();
    }
    (void)server();  // before there are children
    return support::run(argc, argv);
}
