package DynamicWeight::Backends;

# A world's backends: an nginx on port %%BACKEND%% of every loopback address, and
# what it logs. DynamicWeight inherits from it.

use strict;
use warnings;

use DynamicWeight::Functions;
use DynamicWeight::SlowServers;

# Options: `ports`: further ones; `v6`: on every IPv6 address, too; `quick`: for
# many requests, without a log; `tls`: a port that speaks it.
sub start_backends {
    my ($self, %opt) = @_;
    my $d = "$self->{dir}/backends";
    mkdir $d;
    mkdir "$d/fail";
    mkdir "$d/close";
    chmod 0755, $d, "$d/fail", "$d/close";
    my $tls = '';
    if ($opt{tls}) {
        $self->{tls} = free_port();
        $self->{names}{TLS} = $self->{tls};
        system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "
            . "/CN=backend -keyout $d/key.pem -out $d/cert.pem 2>/dev/null");
        $tls = "listen $self->{tls} ssl; ssl_certificate $d/cert.pem; "
            . "ssl_certificate_key $d/key.pem; "
            . ($opt{tls} eq '1.2' ? 'ssl_protocols TLSv1.2; ' : '')
            . "ssl_session_cache shared:backend:1m;";
    }
    $self->write_file('backends/nginx.conf', <<"EOF");
pid $d/nginx.pid;
error_log $d/error.log notice;
worker_processes 1;
events { worker_connections @{[$opt{quick} ? 19000 : 4096]}; }
http {
    client_body_temp_path $d/t1; proxy_temp_path $d/t2;
    fastcgi_temp_path $d/t3; uwsgi_temp_path $d/t4; scgi_temp_path $d/t5;
    log_format count "\$server_addr \$connection \$ssl_session_reused \$status";
    access_log @{[$opt{quick} ? 'off' : "$d/access.log count"]};
    keepalive_requests 1000000;
    server {
        listen $self->{backend} backlog=4096;
        @{[$opt{v6} ? 'listen [::]:' : 'listen [::1]:']}$self->{backend};
        $tls
        @{[map { "listen $_; " . ($opt{v6} ? "listen [::]:$_; " : '') }
            @{$opt{ports} // []}]}
        @{[$opt{quick} ? '' : "if (-f $d/fail/\$server_addr) { return 500; }
        if (-f $d/close/\$server_addr) { return 444; }"]}
        location / { return 200 "\$server_addr\\n"; }
        location = /barrier { access_log off; return 204; }
        location /slow {
            limit_rate 1000;
            root $d;
        }
    }
}
EOF
    $self->write_file('backends/slow', 'x' x 4000);
    my $nginx = $ENV{TEST_NGINX_SANITIZE} ? '/usr/sbin/nginx' : $self->{nginx};
    system($nginx, '-p', $d, '-c', "$d/nginx.conf") == 0
        or die "the backends do not start\n";
    return wait_for { -s "$d/nginx.pid" } 'backends';
}

# Makes an address answer 500, or close without an answer; mends it.
sub break_backend {
    my ($self, $address, $how) = @_;
    $self->write_file('backends/' . ($how // 'fail') . "/$address", '');
}
sub mend_backend {
    my ($self, $address) = @_;
    unlink "$self->{dir}/backends/$_/$address" for qw(fail close);
}

# A request is logged after it was answered. The backends are one process: once
# it has answered this, all that it had answered before is in its log.
sub await_backend_log {
    my ($self) = @_;
    http_get($self->{backend}, '/barrier');
    return;
}

# Where the backends' log stands now, for `since` below.
sub mark {
    my ($self) = @_;
    $self->await_backend_log;
    return -s "$self->{dir}/backends/access.log" || 0;
}

# The requests since a mark, in order: arrays of address, connection, whether
# the TLS session was reused, status.
sub backend_requests {
    my ($self, $since) = @_;
    $self->await_backend_log;
    open my $f, '<', "$self->{dir}/backends/access.log" or return;
    seek $f, $since // 0, 0;
    return map { [split] } grep { /\n\z/ } <$f>;
}

sub backend_counts {
    my ($self, $since) = @_;
    my %count;
    $count{$_->[0]}++ for $self->backend_requests($since);
    return \%count;
}

# Instead of them: servers at these addresses that can be told what to do, see
# DynamicWeight/SlowServers.pm.
sub slow_servers {
    my ($self, %opt) = @_;
    my $servers = DynamicWeight::SlowServers->new(
        port => $self->{backend}, %opt);
    push @{$self->{clusters}}, $servers;
    return $servers;
}

1;
