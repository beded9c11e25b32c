// A frame of a stack, in a file of its own. It refers to nothing, so it also runs where it is copied to.
extern "C" int call_through(int (*const* next)()) { return (*next)() + 1; }
