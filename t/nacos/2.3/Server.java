import com.alibaba.nacos.core.code.ControllerMethodsCache;
import java.sql.DriverManager;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.actuate.autoconfigure.security.servlet.ManagementWebSecurityAutoConfiguration;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.autoconfigure.jdbc.DataSourceAutoConfiguration;
import org.springframework.boot.autoconfigure.security.servlet.SecurityAutoConfiguration;
import org.springframework.boot.autoconfigure.security.servlet.UserDetailsServiceAutoConfiguration;
import org.springframework.boot.web.servlet.ServletComponentScan;
import org.springframework.scheduling.annotation.EnableScheduling;

// The registry alone.
@SpringBootApplication(scanBasePackages = "com.alibaba.nacos", exclude = {
    DataSourceAutoConfiguration.class, SecurityAutoConfiguration.class,
    UserDetailsServiceAutoConfiguration.class, ManagementWebSecurityAutoConfiguration.class})
@ServletComponentScan("com.alibaba.nacos")
@EnableScheduling
public class Server {
  // What the console does: without it v1 answers 501.
  @Autowired
  void methods(ControllerMethodsCache cache) {
    cache.initClassMethod("com.alibaba.nacos.core.controller");
    cache.initClassMethod("com.alibaba.nacos.naming.controllers");
  }

  public static void main(String[] args) throws Exception {
    // Nacos gives Derby 5 s to make its database; a busy machine needs more.
    DriverManager.getConnection("jdbc:derby:" + System.getProperty("nacos.home")
        + "/data/derby-data;create=true", "nacos", "nacos").close();
    SpringApplication.run(Server.class, args);
  }
}
