"""The API: routes, requests and their limits, errors in one sentence, the OpenAPI document."""
