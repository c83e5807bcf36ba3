from tests.plots import plt as plt
