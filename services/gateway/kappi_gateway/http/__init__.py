"""The client's side: finds the endpoint of a request, reads its address, headers and body, answers pages."""
