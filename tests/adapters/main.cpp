// The main function: interfaces of other projects, each written on top of procmap in at most 30 lines (tests/ease.sh counts them).
#include "../support/run.hpp"

int main(int argc, char** argv) {
    return support::run(argc, argv);
}
