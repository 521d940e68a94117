// A static program can't open libc.so, so this runtime has no real ffi. This module of the same name
// knows just the functions that swdist calls: to give up root for good, to end cleanly at SIGTERM,
// to set the clock, to wake in time, to receive into one buffer. All arguments are as wide as a
// register in MIPS's o32 convention, and fit in its four.

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "py/runtime.h"

#define MAX_ARGUMENTS (4)

typedef mp_int_t (*function_t)(mp_int_t, mp_int_t, mp_int_t, mp_int_t);

// libc.py passes time as two words; time_t has two of its own in this libc.
static int settimeofday_words(const mp_int_t *words, const void *zone) {
    struct timeval now = { .tv_sec = (mp_uint_t)words[0], .tv_usec = words[1] };
    return settimeofday(&now, zone);
}

static const struct {
    const char *name;
    void *function;
} known[] = {
    { "chmod", chmod },
    { "chown", chown },
    { "nice", nice },
    { "open", open },
    { "pthread_self", pthread_self },
    { "pthread_setschedparam", pthread_setschedparam },
    { "recv", recv },
    { "setgid", setgid },
    { "setgroups", setgroups },
    { "settimeofday", settimeofday_words },
    { "setuid", setuid },
    { "signalfd", signalfd },
    { "sigprocmask", sigprocmask },
};

typedef struct {
    mp_obj_base_t base;
    function_t function;
} func_t;

static mp_obj_t func_call(mp_obj_t self, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 0, MAX_ARGUMENTS, false);
    mp_int_t words[MAX_ARGUMENTS] = { 0 };
    for (size_t i = 0; i < n_args; i++) {
        mp_buffer_info_t buffer;
        if (mp_obj_is_str(args[i])) {
            words[i] = (mp_int_t)mp_obj_str_get_str(args[i]);
        } else if (mp_get_buffer(args[i], &buffer, MP_BUFFER_READ)) {
            words[i] = (mp_int_t)buffer.buf;
        } else if (args[i] != mp_const_none) {
            words[i] = mp_obj_get_int_truncated(args[i]);
        }
    }
    func_t *func = MP_OBJ_TO_PTR(self);
    return mp_obj_new_int(func->function(words[0], words[1], words[2], words[3]));
}

static MP_DEFINE_CONST_OBJ_TYPE(func_type, MP_QSTR_func, MP_TYPE_FLAG_NONE, call, func_call);

// lib.func(result type, name, argument types); the types need not be told here.
static mp_obj_t lib_func(size_t n_args, const mp_obj_t *args) {
    const char *name = mp_obj_str_get_str(args[2]);
    for (size_t i = 0; i < MP_ARRAY_SIZE(known); i++) {
        if (strcmp(known[i].name, name) == 0) {
            func_t *func = mp_obj_malloc(func_t, &func_type);
            func->function = (function_t)known[i].function;
            return MP_OBJ_FROM_PTR(func);
        }
    }
    mp_raise_OSError(ENOENT);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(lib_func_obj, 4, 4, lib_func);

static const mp_rom_map_elem_t lib_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_func), MP_ROM_PTR(&lib_func_obj) },
};
static MP_DEFINE_CONST_DICT(lib_locals, lib_locals_table);

static MP_DEFINE_CONST_OBJ_TYPE(
    lib_type, MP_QSTR_lib, MP_TYPE_FLAG_NONE, locals_dict, &lib_locals);

static const mp_obj_base_t lib = { &lib_type };

static mp_obj_t ffi_open(mp_obj_t name) {
    if (strncmp(mp_obj_str_get_str(name), "libc.so", 7) != 0) {
        mp_raise_OSError(ENOENT);
    }
    return MP_OBJ_FROM_PTR(&lib);
}
static MP_DEFINE_CONST_FUN_OBJ_1(ffi_open_obj, ffi_open);

static const mp_rom_map_elem_t globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_ffi) },
    { MP_ROM_QSTR(MP_QSTR_open), MP_ROM_PTR(&ffi_open_obj) },
};
static MP_DEFINE_CONST_DICT(globals, globals_table);

const mp_obj_module_t ffi_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&globals,
};
MP_REGISTER_MODULE(MP_QSTR_ffi, ffi_module);
