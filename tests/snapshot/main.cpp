// The main function.
#include "../support/run.hpp"

int main(int argc, char** argv) { return support::run(argc, argv); }
