from simulated import device_modules_as_before  # noqa: F401 - a fixture for all tests in here
