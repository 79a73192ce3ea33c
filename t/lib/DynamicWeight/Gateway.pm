package DynamicWeight::Gateway;

# An nginx before a KubeCluster, as companies put one before their API servers:
# plain HTTP on this side, and watches end after `watch_seconds`, whatever the
# client asks for. %%NAME%% is its URL.
#
#   DynamicWeight::Gateway->new($t, 'GATE', $kube, watch_seconds => 2);

use strict;
use warnings;

use DynamicWeight;

sub new {
    my ($class, $t, $name, $kube, %opt) = @_;
    my $self = bless {
        dir => "$t->{dir}/gateway-$name", owner => $$,
        port => DynamicWeight::free_port(),
    }, $class;
    mkdir $self->{dir} or die "$self->{dir}: $!\n";
    $t->{names}{$name} = "http://127.0.0.1:$self->{port}";
    push @{$t->{clusters}}, $self;
    $t->write_file("gateway-$name/nginx.conf",
        $self->conf($kube, $opt{watch_seconds} // 300));
    system($t->{nginx}, '-p', $self->{dir}, '-c', "$self->{dir}/nginx.conf")
        == 0 && DynamicWeight::wait_for(sub { $self->pid }, 'the gateway')
        or die "the gateway does not start: see $self->{dir}/error.log\n";
    return $self;
}

sub port { $_[0]{port} }

sub conf {
    my ($self, $kube, $seconds) = @_;
    my $d = $self->{dir};
    return <<"EOF";
pid $d/nginx.pid;
error_log $d/error.log notice;
worker_processes 1;
events { worker_connections 256; }
http {
    client_body_temp_path $d/t1; proxy_temp_path $d/t2;
    fastcgi_temp_path $d/t3; uwsgi_temp_path $d/t4; scgi_temp_path $d/t5;
    access_log $d/access.log;
    keepalive_requests 1000000;
    upstream api {
        server 127.0.0.1:@{[$kube->port]};
        keepalive 8;
    }
    server {
        listen 127.0.0.1:$self->{port};
        if (\$args ~ ^(.*)timeoutSeconds=\\d+(.*)\$) {
            set \$args \$1timeoutSeconds=$seconds\$2;
        }
        location / {
            proxy_pass https://api;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 700s;
        }
    }
}
EOF
}

sub pid {
    my ($self) = @_;
    open my $f, '<', "$self->{dir}/nginx.pid" or return;
    my ($pid) = (<$f> // '') =~ /(\d+)/;
    return $pid;
}

sub stop {
    my ($self) = @_;
    return unless $$ == $self->{owner};
    my $pid = $self->pid or return;
    kill 'TERM', $pid;
}

1;
