"""What the process imports and computes from which the fixture ``forked_workers`` forks others."""

from robustxai.benchmark._code_version import code_version

code_version("robustxai.benchmark._cell")
