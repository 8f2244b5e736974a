"""supervisord's side: its events, its XML-RPC, its processes, their memory."""
