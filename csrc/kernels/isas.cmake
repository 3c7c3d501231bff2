# One object per instruction set, each from the same cpu/isa_unit.cc. A new kernel is a line in kernels.inc and a file
# cpu/NAME.inl.h (cpu/NAME_ISA.inl.h where an ISA must differ); a new ISA is a line in cpu/isas.inc, cpu/simd_NAME.h and a
# case in dispatch.cc.
set(SANDERLING_KERNELS_DIR ${CMAKE_CURRENT_LIST_DIR})
set(SANDERLING_KERNELS_GENERATED ${CMAKE_BINARY_DIR}/kernels)

string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" SANDERLING_PROCESSOR)
if(SANDERLING_PROCESSOR STREQUAL "amd64")
    set(SANDERLING_PROCESSOR x86_64)
elseif(SANDERLING_PROCESSOR STREQUAL "arm64")
    set(SANDERLING_PROCESSOR aarch64)
endif()

# GCC 12 undoes the order in which the tiles are written, runs out of registers and spills the sums: up to half the speed.
# PRE and GCSE hoist loads out of the unrolled steps; reassociation and TER gather the products before they are added; on
# Arm the scheduler before register allocation moves the loads of later steps ahead of the products of earlier ones.
# tests/test_kernel_objects.py counts what is left. Clang has none of these flags and does not need them.
set(SANDERLING_KERNEL_FLAGS $<$<NOT:$<CONFIG:Debug>>:-O3> -fno-math-errno)
if(SANDERLING_SANITIZE)
    list(APPEND SANDERLING_KERNEL_FLAGS -O1) # at -O3 a checked, unrolled unit takes minutes to compile
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    list(
        APPEND SANDERLING_KERNEL_FLAGS
        -fno-tree-pre
        -fno-gcse
        -fno-tree-reassoc
        -fno-tree-ter
        -fno-schedule-insns
    )
    # GCC 12 warns of its own avx512fintrin.h (PR 105593).
    list(
        APPEND SANDERLING_KERNEL_FLAGS
        -Wno-uninitialized
        -Wno-maybe-uninitialized
    )
endif()

set_property(
    DIRECTORY
    APPEND
    PROPERTY
        CMAKE_CONFIGURE_DEPENDS
            ${SANDERLING_KERNELS_DIR}/kernels.inc
            ${SANDERLING_KERNELS_DIR}/cpu/isas.inc
)
file(
    GLOB SANDERLING_KERNEL_BODIES
    CONFIGURE_DEPENDS
    ${SANDERLING_KERNELS_DIR}/cpu/*.inl.h
)

# Writes kernel_bodies.inc for one ISA into `folder`: its own body of each kernel if it has one, else the common body.
function(sanderling_kernel_bodies isa folder)
    file(STRINGS ${SANDERLING_KERNELS_DIR}/kernels.inc lines REGEX "^KERNEL\\(")
    set(text "")
    foreach(line IN LISTS lines)
        string(REGEX REPLACE "^KERNEL\\(([a-z0-9_]+).*" "\\1" kernel "${line}")
        set(body ${SANDERLING_KERNELS_DIR}/cpu/${kernel}_${isa}.inl.h)
        if(NOT body IN_LIST SANDERLING_KERNEL_BODIES)
            set(body ${SANDERLING_KERNELS_DIR}/cpu/${kernel}.inl.h)
        endif()
        if(NOT body IN_LIST SANDERLING_KERNEL_BODIES)
            message(
                FATAL_ERROR
                "kernels.inc lists ${kernel}, but there is no ${body}"
            )
        endif()
        string(APPEND text "#include \"${body}\"\n")
    endforeach()
    file(CONFIGURE OUTPUT ${folder}/kernel_bodies.inc CONTENT "${text}" @ONLY)
endfunction()

# Makes `target`, the object library of isa_unit.cc over simd_${isa}.h, in namespace `name`.
function(sanderling_isa_unit target isa name)
    set(folder ${SANDERLING_KERNELS_GENERATED}/${isa})
    sanderling_kernel_bodies(${isa} ${folder})
    add_library(${target} OBJECT ${SANDERLING_KERNELS_DIR}/cpu/isa_unit.cc)
    target_include_directories(
        ${target}
        PRIVATE ${SANDERLING_KERNELS_DIR}/.. ${folder}
    )
    target_compile_definitions(
        ${target}
        PRIVATE
            SANDERLING_ISA_NAME=${name}
            "SANDERLING_SIMD_HEADER=\"kernels/cpu/simd_${isa}.h\""
    )
    target_compile_options(${target} PRIVATE ${SANDERLING_KERNEL_FLAGS} ${ARGN})
endfunction()

set(SANDERLING_BUILT_ISAS "")
file(
    STRINGS ${SANDERLING_KERNELS_DIR}/cpu/isas.inc
    SANDERLING_ISA_LINES
    REGEX "^ISA\\("
)
foreach(line IN LISTS SANDERLING_ISA_LINES)
    if(NOT line MATCHES "^ISA\\(([a-z0-9_]+), ([a-z0-9_]+), ([^)]*)\\)$")
        message(FATAL_ERROR "cpu/isas.inc: cannot read '${line}'")
    endif()
    set(isa ${CMAKE_MATCH_1})
    set(processor ${CMAKE_MATCH_2})
    separate_arguments(flags UNIX_COMMAND "${CMAKE_MATCH_3}")
    if(processor STREQUAL "any" OR processor STREQUAL SANDERLING_PROCESSOR)
        sanderling_isa_unit(sanderling_isa_${isa} ${isa} ${isa} ${flags})
        # INTERFACE: an object library passes on only its own objects.
        target_sources(
            sanderling_core
            INTERFACE $<TARGET_OBJECTS:sanderling_isa_${isa}>
        )
        string(APPEND SANDERLING_BUILT_ISAS "ISA(${isa})\n")
    endif()
endforeach()

# What dispatch.cc may link to.
file(
    CONFIGURE
    OUTPUT ${SANDERLING_KERNELS_GENERATED}/built_isas.inc
    CONTENT "${SANDERLING_BUILT_ISAS}"
    @ONLY
)
target_include_directories(
    sanderling_core
    PRIVATE ${SANDERLING_KERNELS_GENERATED}
)
